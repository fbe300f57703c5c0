from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny
from tests.contracts.test_erasers import snapshot

from excise.attacks.benign_finetune import BenignFinetune
from excise.attacks.changing import Point
from excise.edit import Edit
from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.types import Concept

CAT = Concept("cat", synonyms=("kitten",), neighbours=("dog",))
QUICK = BenignFinetune(steps=(0, 1, 2), pictures=3, batch=2)


def fresh(family: str = "sd1") -> Any:
    return of_pipeline(tiny.FAMILIES[family](), "tiny", {"steps": 2, "guidance": 2.0})


@pytest.fixture(scope="module")
def model() -> Any:
    return fresh()


def points(model: Any, attack: BenignFinetune = QUICK, **options: Any) -> list[Point]:
    return list(attack.points(model, (CAT,), **options))


def test_rising_steps_from_the_model_as_it_was(model: Any) -> None:
    before = snapshot(model)
    none, one, two = points(model)
    assert snapshot(model) == before
    assert none.edit is None
    assert [p.cost["steps"] for p in (none, one, two)] == [0, 1, 2]
    assert [p.spent.gradients for p in (one, two)] == [2, 4]
    assert isinstance(one.edit, Edit)
    assert isinstance(two.edit, Edit)
    # A longer run begins as a shorter one: the second step goes on, it does not start anew.
    assert one.edit == points(model, replace(QUICK, steps=(1,)))[0].edit
    sizes = [sum(n**2 for n in e.norm().values()) for e in (one.edit, two.edit)]
    assert 0 < sizes[0] < sizes[1]
    assert all(name.startswith("unet.") for name in one.edit.deltas)


def test_the_pictures_have_nothing_to_do_with_it(model: Any) -> None:
    model.known = (CAT, Concept("dog"), Concept("tree"), Concept("house"))
    try:
        texts = [p.text for p in QUICK.request(model, (CAT,), 0).prompts]
        model.known = (CAT, Concept("dog"))  # then common things that are not near it
        common = [p.text for p in QUICK.request(model, (CAT,), 0).prompts]
    finally:
        model.known = ()
    assert not {word for text in common for word in text.split()} & {"cat", "kitten", "dog"}
    assert len(texts) == 3
    assert {word for text in texts for word in text.split()} & {"tree", "house"}
    assert not {word for text in texts for word in text.split()} & {"cat", "kitten", "dog"}


def test_whose_pictures_they_are(model: Any) -> None:
    """The unedited model's where there is one: an edit does not change what is trained on."""
    attack = replace(QUICK, steps=(1,))
    bias = {"unet.conv_out.bias": torch.full((4,), 0.3)}
    with model.swapped(bias):
        own, base = (points(model, attack, base=b)[0].edit for b in (None, fresh()))
        same = points(model, attack, base=model)[0].edit  # the edited one itself is no base
    assert own != base
    assert own == same


def test_a_lora_in_its_place(model: Any) -> None:
    attack = replace(QUICK, steps=(1,), adapter="lora", rank=1, selector=("cross_attention",))
    edit = points(model, attack)[0].edit
    assert isinstance(edit, Edit)
    assert all(".attn2." in name for name in edit.deltas)


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_every_family_is_served(family: str) -> None:
    model = fresh(family)
    before = model.fingerprint()
    (point,) = points(model, replace(QUICK, steps=(1,), pictures=1, batch=1))
    assert isinstance(point.edit, Edit)
    assert model.fingerprint() == before


def test_settings() -> None:
    with pytest.raises(BadSetting, match="steps"):
        BenignFinetune(steps=(2, 1))
