from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.attacks.toy import Nearest
from tests.trained import World, world

from excise.attacks.base import run_attack
from excise.attacks.concept_inversion import ConceptInversion, Rung
from excise.attacks.reseed import Reseed
from excise.errors import BadConcept, BadSetting
from excise.primitives.inversion import Inverter
from excise.primitives.prompts import placed, template_of
from excise.registry import create
from excise.types import Concept, Prompt


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(scope="module")
def cat(w: World) -> Concept:
    """The concept with the attacker's own pictures."""
    with torch.no_grad():
        pictures = w.model.decode(w.latents["cat"])
    return Concept("cat", synonyms=("kitten",), held_back=("mog",), pictures=pictures)


class Inverting(ConceptInversion):
    """With the latents as they are: the tiny autoencoder is not trained."""

    def latents(self, model, concept, base, seed, progress):  # type: ignore[no-untyped-def]
        return world().latents["cat"]


QUICK = Inverting(restarts=3, steps=30, template="a <1>")


@pytest.mark.parametrize("rung", [4, "step_condition"])
def test_it_brings_back_what_prompts_do_not_name(w: World, cat: Concept, rung: Rung) -> None:
    prompts = ["a picture of a", "a photo"]
    seeds = {"select_seeds": (0, 1), "score_seeds": (10, 11, 12)}
    attack = replace(QUICK, rung=rung, bands=4)
    found = run_attack(attack, w.model, cat, prompts, Nearest(w), **seeds)
    null = run_attack(Reseed(restarts=3), w.model, cat, prompts, Nearest(w), **seeds)
    assert found.rate >= 0.5
    assert found.rate > null.rate
    assert len(set(found.chosen)) == 1  # one restart for all prompts
    assert found.searched.gradients == 30 * 3 * 4
    assert found.settings["rung"] == rung


def test_the_name_gives_way_to_the_soft_tokens(cat: Concept) -> None:
    join = "{} <1>"
    assert placed("a cat on a mat", cat, join) == "a <1> on a mat"
    assert placed("a Kitten", cat, join) == "a <1>"
    assert placed("a mog", cat, join) == "a <1>"
    assert placed("a concatenation", cat, join) == "a concatenation <1>"
    assert template_of(cat) == "a <1>"
    assert template_of(Concept("sketch", kind="style")) == "a picture in <1> style"
    assert template_of(Concept("mark", kind="implicit", templates=("x",))) == "<1>"


def test_it_searches_in_the_very_prompts(
    w: World, cat: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = Inverter.run

    def spy(self: Inverter, *given: Any, **named: Any) -> Any:
        seen.append(self.texts)
        return real(self, *given, **named)

    monkeypatch.setattr(Inverter, "run", spy)
    prompts = Prompt.of(("a cat", "a photo of a cat", "something", "a cat"))
    small = replace(QUICK, restarts=1, steps=1, samples=1)
    for attack in (small, replace(small, spread=False), replace(small, rung="condition")):
        next(attack.search(w.model, (cat,), prompts))
    assert seen == [("a <1>", "a photo of a <1>", "something <1>"), (), ()]


def test_whose_pictures_it_takes(w: World, cat: Concept) -> None:
    attack = ConceptInversion(pictures=3)
    bare = replace(cat, pictures=None)
    share = attack.latents(w.model, cat, None, 0, None)
    everything = replace(attack, share="all").latents(w.model, cat, None, 0, None)
    assert len(share) < len(everything) == 16
    drawn = attack.latents(w.model, bare, w.model, 0, None)
    assert drawn.shape == (3, 4, 8, 8)
    with pytest.raises(BadConcept, match="pictures"):
        attack.latents(w.model, bare, None, 0, None)
    name = "unet.conv_out.bias"
    edit = {name: torch.zeros_like(w.model.parameters(name)[name])}
    with w.model.swapped(edit), pytest.raises(BadConcept, match="unedited"):
        attack.latents(w.model, bare, w.model, 0, None)


def test_settings_are_read_as_text() -> None:
    attack = create("attack", "concept-inversion", {"rung": "8", "restarts": "9"})
    assert attack == ConceptInversion(rung=8, restarts=9)
    assert (
        create("attack", "concept_inversion", {"rung": "step_condition"}).rung == "step_condition"
    )
    assert attack.inverter(Concept("cat")).tokens == 8
    with pytest.raises(BadSetting):
        create("attack", "concept_inversion", {"rung": "3"})
    with pytest.raises(BadSetting):
        ConceptInversion(join="{}")
