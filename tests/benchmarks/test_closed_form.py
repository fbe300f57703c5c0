"""What is timed has the shapes of Stable Diffusion 1.x, and does what its name says."""

from __future__ import annotations

import pytest
import torch
from closed_form import CONCEPTS, INVARIANTS, METHODS, WIDTH, Least, Shapes, states, uce

from excise.edit import Edit, LowRank, Recipe


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
    deltas = uce(model, 3)
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
