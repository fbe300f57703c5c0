from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from tests.attacks.toy import Nearest
from tests.contracts.test_erasers import snapshot
from tests.trained import World, world

from excise.attacks.base import run_attack
from excise.attacks.changing import ChangingAttack, Point, Recovery, run_change
from excise.attacks.reseed import Reseed
from excise.edit import Edit, Recipe
from excise.errors import BadFile, UserError
from excise.store import Artefact
from excise.types import Concept, Costs

CAT = Concept("cat")
PROMPTS = ["a cat", "a photo of a cat"]
SEEDS = (5, 6, 7)


@dataclass(frozen=True, kw_only=True)
class Bending(ChangingAttack):
    """Bends the model a little more at each point."""

    name: ClassVar[str] = "bending"
    paper: ClassVar[str] = "none"

    sizes: tuple[float, ...] = (0.0, 1.0, 2.0)

    def points(self, model: Any, concepts: Any, **options: Any) -> Iterator[Point]:
        for size in self.sizes:
            bias = {"unet.conv_out.bias": size * torch.tensor([-1.0, -1.0, 1.0, 1.0])}
            edit = Edit.of(model, bias, recipe=Recipe(method="test")) if size else None
            yield Point(label=f"{size}", cost={"size": size}, edit=edit, spent=Costs(gradients=1))


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(scope="module")
def found(w: World) -> Recovery:
    return run_change(Bending(), w.model, CAT, PROMPTS, Nearest(w), seeds=SEEDS)


def test_every_point_is_judged_on_the_same_noise(w: World, found: Recovery) -> None:
    assert found.values.shape == (3, 2, 3)
    assert found.labels == ("0.0", "1.0", "2.0")
    assert [dict(cost) for cost in found.costs] == [{"size": s} for s in (0.0, 1.0, 2.0)]
    assert found.drawn.pictures == 3 * 2 * 3
    means = found.values.mean(dim=(1, 2)).tolist()
    assert means == sorted(means, reverse=True) or means == sorted(means)
    assert means[0] != means[2]
    plain = run_attack(
        Reseed(restarts=1),
        w.model,
        CAT,
        PROMPTS,
        Nearest(w),
        select_seeds=(0,),
        score_seeds=SEEDS,
    )
    torch.testing.assert_close(found.values[0], plain.score[0], atol=2e-3, rtol=0)
    assert found.rates[0] == plain.rate


def test_as_a_search_the_points_are_its_restarts(w: World, found: Recovery) -> None:
    result = run_attack(
        Bending(), w.model, CAT, PROMPTS, Nearest(w), select_seeds=(0,), score_seeds=SEEDS
    )
    torch.testing.assert_close(result.score, found.values, atol=2e-3, rtol=0)
    assert len(set(result.chosen)) == 1


def test_the_model_is_as_it_was(w: World) -> None:
    before = snapshot(w.model)
    run_change(Bending(sizes=(1.0,)), w.model, CAT, PROMPTS[:1], Nearest(w), seeds=(1,))
    assert snapshot(w.model) == before


def test_an_edited_model_is_bent_further(w: World) -> None:
    """A point's edit goes on top of the edit that is attacked."""
    edit = Edit.of(
        w.model,
        {"unet.conv_out.bias": torch.full((4,), 0.5)},
        recipe=Recipe(method="test"),
    )
    with edit.applied(w.model):
        _, point = Bending(sizes=(0.0, 1.0)).points(w.model, (CAT,))
        assert point.edit is not None
        before = w.model.parameters("unet.conv_out.bias")["unet.conv_out.bias"].clone()
        with point.edit.applied(w.model):
            after = w.model.parameters("unet.conv_out.bias")["unet.conv_out.bias"]
            torch.testing.assert_close(after - before, torch.tensor([-1.0, -1.0, 1.0, 1.0]))


def test_it_is_kept_and_read_back(found: Recovery) -> None:
    again = Recovery.of(found.artefact())
    assert again.to_json() == found.to_json()
    assert torch.equal(again.values, found.values)
    assert again.observations(1).mean == pytest.approx(found.rates[1])
    with pytest.raises(BadFile):
        Recovery.of(Artefact(tensors={}, record={"format": "another"}))


def test_what_is_missing_is_said(w: World) -> None:
    judge = Nearest(w)
    for prompts, seeds, attack in (
        ([], (1,), Bending()), (PROMPTS, (), Bending()), (PROMPTS, (1,), Bending(sizes=())),
    ):  # fmt: skip
        with pytest.raises(UserError, match="expected"):
            run_change(attack, w.model, CAT, prompts, judge, seeds=seeds)
