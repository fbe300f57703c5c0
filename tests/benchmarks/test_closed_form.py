"""What is timed has the shapes of Stable Diffusion 1.x, and does what its name says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import closed_form
import pytest
import torch
from closed_form import (
    CONCEPTS,
    INVARIANTS,
    KEPT,
    METHODS,
    WIDTH,
    Given,
    Least,
    Shapes,
    speed,
    speed_least,
    states,
    uce,
)
from timings import EVEN, SPEED

from excise.edit import Edit, LowRank, Recipe
from excise.erasers.speed import MANY, Prior
from excise.rng import generator


@pytest.fixture(scope="module")
def model() -> Shapes:
    return Shapes()


def test_the_shapes_are_those_of_stable_diffusion(model: Shapes) -> None:
    shapes = [tuple(weight.shape) for weight in model.weights.values()]
    assert len(shapes) == 32
    assert {shape: shapes.count(shape) for shape in shapes} == {
        (320, 768): 10, (640, 768): 10, (1280, 768): 12
    }  # fmt: skip


def test_an_edit_of_each_concept_is_one_rank_and_reads_sources_as_targets(model: Shapes) -> None:
    deltas = uce(model, Given.of(3))
    assert all(isinstance(d, LowRank) and d.down.shape[0] == 3 for d in deltas.values())
    sources, targets = states(3, "source"), states(3, "target")
    for name, weight in model.weights.items():
        before = (sources - targets) @ weight.T
        after = sources @ (weight + deltas[name].dense()).T - targets @ weight.T
        assert after.norm() < 0.2 * before.norm()
    edit = Edit.of(model, deltas, recipe=Recipe(method="uce"))  # type: ignore[arg-type]
    assert len(edit.deltas) == 32


def test_states_are_as_long_and_as_alike_as_those_of_clip() -> None:
    rows = states(20, "some")
    assert torch.allclose(rows.norm(dim=1), torch.full((20,), 28.0))
    cosines = torch.nn.functional.cosine_similarity(rows[:-1], rows[1:])
    assert 0.7 < float(cosines.mean()) < 0.95
    assert states(INVARIANTS, "empty").shape == (INVARIANTS, WIDTH)


def test_the_least_grows_with_the_concepts_and_falls_with_the_rates() -> None:
    slow = {"float32": 1e9, "float64": 1e9, "copy": 1e9}
    fast = {name: 10 * rate for name, rate in slow.items()}
    for _, least in METHODS.values():
        times = [least(n).seconds(slow) for n in CONCEPTS]
        assert times == sorted(set(times))
        assert least(1).seconds(fast) == pytest.approx(times[0] / 10)
    assert Least(single=1e9, double=2e9, moved=3e9).seconds(slow) == 6


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each solve by SPEED, whether what is kept was filtered."""
    found: list[bool] = []

    def note(**given: Any) -> Any:
        found.append(given["filtered"])
        return SimpleNamespace(basis=lambda weight, numbers: torch.zeros(WIDTH, 0).double())

    monkeypatch.setattr(closed_form, "Prior", note)
    return found


def test_speed_filters_where_the_method_does_and_the_other_never(
    model: Shapes, asked: list[bool]
) -> None:
    counts = (1, MANY - 1, MANY, CONCEPTS[-1])
    for name in (SPEED, EVEN):
        for n in counts:
            METHODS[name][0](model, Given.of(n))
    assert asked == [True, True, False, False, *[False] * len(counts)]
    # Less is the least there is to do where it is filtered, and nowhere else.
    assert [METHODS[SPEED][1](n) == speed_least(n, filtered=False) for n in counts] == [
        False, False, True, True,
    ]  # fmt: skip


def test_about_half_of_what_is_kept_stays_where_it_is_filtered(model: Shapes) -> None:
    """As the least takes it to be."""
    given, stays = Given.of(1), []
    prior = Prior(sources=given.sources, targets=given.targets, rows=given.kept, augment=0,
                  threshold=1e-12)  # fmt: skip
    for name in list(model.weights)[1::16]:
        stays.append(prior.basis(model.weights[name], generator("x")).shape[1])
    assert all(0.4 * KEPT < n < 0.6 * KEPT for n in stays)


def test_no_embedding_is_made_while_a_clock_runs(
    model: Shapes, monkeypatch: pytest.MonkeyPatch, asked: list[bool]
) -> None:
    given = Given.of(2)
    assert given.sources.dtype == torch.float64  # as a model's states are read
    monkeypatch.setattr(closed_form, "rows", None)
    assert len(uce(model, given)) == 32
    assert len(speed(model, given)) == 16
    with pytest.raises(TypeError):
        Given.of(2)
