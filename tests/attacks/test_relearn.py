from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.contracts.test_erasers import snapshot
from tests.trained import World, world
from torch import Tensor

from excise.attacks import relearn
from excise.attacks.changing import Point
from excise.attacks.relearn import Relearn
from excise.edit import Edit
from excise.errors import BadSetting
from excise.hooks.negative_prompt import NegativePrompt
from excise.primitives.denoising import Bank, concept_loss
from excise.types import Concept, Prompt

# The dog's pictures under the cat's name: what the tiny model does not know of a cat.
CAT = Concept("cat", templates=("a {}",))
QUICK = Relearn(shots=(0, 1, 4), steps=12, batch=4, lr=2e-2)


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(autouse=True)
def pictures(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(model: Any, concept: Any, base: Any, n: int, **options: Any) -> Tensor:
        return w.latents["dog"][:n]

    monkeypatch.setattr(relearn, "attackers_latents", given)


def points(w: World, attack: Relearn = QUICK, seed: int = 0) -> list[Point]:
    return list(attack.points(w.model, (CAT,), seed=seed))


def test_nothing_shown_is_nothing_changed(w: World) -> None:
    (point,) = points(w, replace(QUICK, shots=(0,)))
    assert point.edit is None
    assert point.cost == {"pictures": 0, "steps": 0}
    drawn = w.model.generate(point.request(Prompt("a cat"))).latents
    assert torch.equal(drawn, w.model.generate(["a cat"]).latents)


def test_what_is_shown_is_learned_and_the_model_stays(w: World) -> None:
    before = snapshot(w.model)
    none, one, four = points(w)
    assert snapshot(w.model) == before
    assert [p.cost["pictures"] for p in (none, one, four)] == [0, 1, 4]
    assert one.spent.gradients == four.spent.gradients == 12 * 4
    bank, cond = Bank.of(w.latents["dog"], 16), w.model.encode(["a cat"])
    losses = [concept_loss(w.model, w.latents["dog"], cond, bank).mean().item()]
    for point in (one, four):
        assert isinstance(point.edit, Edit)
        with point.edit.applied(w.model):
            losses.append(concept_loss(w.model, w.latents["dog"], cond, bank).mean().item())
    assert losses[1] < 0.9 * losses[0]
    assert losses[2] < 0.9 * losses[0]
    assert snapshot(w.model) == before


def test_the_deltas_are_a_lora_s(w: World) -> None:
    _, point = points(w, replace(QUICK, shots=(0, 1), steps=2, rank=1))
    assert isinstance(point.edit, Edit)
    assert all(".attn" in name for name in point.edit.deltas)
    for name in point.edit.deltas:
        assert torch.linalg.matrix_rank(point.edit.dense(name).flatten(1)) == 1


def test_the_seed_decides(w: World) -> None:
    attack = replace(QUICK, shots=(2,), steps=2)
    a, b, c = (points(w, attack, seed)[0].edit for seed in (0, 0, 1))
    assert a == b != c


def test_it_is_done_through_a_guard(w: World) -> None:
    attack = replace(QUICK, shots=(1,), steps=2, guidance=3.0)
    plain = points(w, attack)[0].edit
    with w.model.hooked((NegativePrompt(text="a cat"),)):
        guarded = points(w, attack)[0].edit
    assert plain != guarded


def test_settings() -> None:
    with pytest.raises(BadSetting, match="shots"):
        Relearn(shots=(4, 1))
    with pytest.raises(BadSetting, match="rank"):
        Relearn(rank=0)
