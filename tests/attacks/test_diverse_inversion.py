from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.attacks.toy import Nearest
from tests.trained import World, world
from torch import Tensor

from excise.attacks import inverting
from excise.attacks.base import run_attack
from excise.attacks.diverse_inversion import DiverseInversion
from excise.errors import BadSetting, UserError
from excise.primitives.spaces import SOFT
from excise.types import Concept, Prompt

CAT = Concept("cat", templates=("a {}",))
QUICK = DiverseInversion(restarts=3, steps=20, init="dog", apart=(-1.0, 0.1), from_word=(-1.0, 0.9))


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(autouse=True)
def pictures(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latents as they are: the tiny autoencoder is not trained."""

    def given(*args: object, **kwargs: object) -> Tensor:
        return w.latents["cat"]

    monkeypatch.setattr(inverting, "attackers_latents", given)


def vectors(w: World, attack: DiverseInversion, seed: int = 0) -> Tensor:
    rounds = attack.search(w.model, (CAT,), Prompt.of(["a photo of a cat"]), seed=seed)
    return torch.stack([r.prompts[0].soft[SOFT]["text_encoder"].flatten() for (r,) in rounds])


def largest(found: Tensor) -> float:
    unit = found / found.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    return float(cosines[~torch.eye(len(found), dtype=torch.bool)].max())


def test_members_that_begin_together_are_driven_apart(w: World) -> None:
    together = largest(vectors(w, replace(QUICK, repulsion=0.0)))
    apart = largest(vectors(w, replace(QUICK, repulsion=50.0)))
    assert together > 0.8
    assert apart < together - 0.2


def test_members_depend_on_one_another_and_on_the_seed(w: World) -> None:
    three, two = vectors(w, QUICK), vectors(w, replace(QUICK, restarts=2))
    assert not torch.allclose(three[:2], two)
    assert torch.equal(three, vectors(w, QUICK))
    assert not torch.allclose(three, vectors(w, QUICK, seed=1))


def test_it_brings_the_concept_back_and_has_no_curve(w: World) -> None:
    found = run_attack(
        replace(QUICK, tokens=4, steps=30, init=""),
        w.model,
        CAT,
        ["a picture of a", "a cat"],
        Nearest(w),
        select_seeds=(0, 1),
        score_seeds=(5, 6),
    )
    assert found.rate >= 0.5
    assert [r.prompts[0].text for r in found.requests[0]] == ["a picture of a <1>", "a <1>"]
    with pytest.raises(UserError, match="budget_curve"):
        found.best_of(1)


def test_settings() -> None:
    assert DiverseInversion().inverter(CAT).mode == "repulsed"
    with pytest.raises(BadSetting, match="join"):
        DiverseInversion(join="{}")
