"""What `excise.attack` hands to a search."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

import excise
from excise.api import attacking
from excise.attacks.base import Attack
from excise.edit import Edit, Recipe
from excise.errors import UserError
from excise.models.load import of_pipeline
from excise.types import Concept, Score, TextToImage


class Blind:
    """A judge that sees nothing."""

    name = "blind"

    def score(self, pictures: torch.Tensor, concept: Concept | str) -> Score:
        return Score(concept="cat", judge=self.name, values=torch.zeros(len(pictures)),
                     threshold=0.5)  # fmt: skip


class Seen(Exception):
    """What was handed over; nothing is searched."""

    def __init__(self, attack: Attack, model: TextToImage, base: TextToImage | None) -> None:
        self.attack, self.model, self.base = attack, model, base
        self.edits = model.edits
        self.same = base is not None and base.fingerprint() == model.fingerprint()


def handed(monkeypatch: pytest.MonkeyPatch, model: Any, method: str) -> Seen:
    def spy(attack: Attack, live: Any, *_: object, base: Any, **__: object) -> None:
        raise Seen(attack, live, base)

    monkeypatch.setattr(attacking, "run_attack", spy)
    bias = torch.ones_like(model.parameters("unet")["unet.conv_out.bias"])
    edit = Edit.of(model, {"unet.conv_out.bias": bias}, recipe=Recipe(method="x"))
    with pytest.raises(Seen) as caught:
        excise.attack(model, edit, Concept("cat"), method=method, judge=Blind(), budget="quick")
    return caught.value


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 1, "guidance": 1.0})


def test_who_compares_has_the_unedited_model_beside_the_edited_one(
    monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    before = model.fingerprint()
    seen = handed(monkeypatch, model, "p4d")
    assert seen.edits
    assert seen.base is not None
    assert seen.base is not seen.model
    assert not seen.same
    assert seen.base.fingerprint() == before == model.fingerprint()
    # Who needs no second model costs no second copy of the weights.
    assert handed(monkeypatch, model, "ring_a_bell").base is model


@pytest.mark.parametrize("method", ["concept_inversion", "unlearn_diff", "enumerate"])
def test_pictures_are_the_attacker_s_own(
    monkeypatch: pytest.MonkeyPatch, model: Any, method: str
) -> None:
    assert handed(monkeypatch, model, method).attack.share == "all"  # type: ignore[attr-defined]


def test_a_copy_is_a_model_of_its_own(model: Any) -> None:
    other = model.copied()
    assert other.fingerprint() == model.fingerprint()
    assert other.defaults == model.defaults
    assert other.generate(["a cat"]).digest == model.generate(["a cat"]).digest
    with torch.no_grad():
        other.parameters("unet")["unet.conv_out.bias"].add_(1)
    assert other.fingerprint() != model.fingerprint()
    name = "unet.conv_out.bias"
    with (
        model.swapped({name: torch.zeros_like(model.parameters(name)[name])}),
        pytest.raises(UserError, match="copy"),
    ):
        model.copied()
