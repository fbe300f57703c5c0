from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny

from excise.errors import BadConcept
from excise.models.load import of_pipeline
from excise.primitives.attackers import attackers_latents, unedited
from excise.primitives.prompts import named_in, placed
from excise.rng import generator
from excise.types import Concept

PICTURES = torch.rand(20, 3, 16, 16, generator=generator("pictures"))
CAT = Concept("cat", synonyms=("wild cat",), held_back=("mog",), pictures=PICTURES)


def fresh() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 2, "guidance": 1.0})


@pytest.fixture(scope="module")
def model() -> Any:
    return fresh()


def test_the_eraser_s_part_is_not_the_attacker_s(model: Any) -> None:
    everything = attackers_latents(model, CAT, None, 99, share="all")
    own = attackers_latents(model, CAT, None, 99)
    assert len(everything) == 20
    assert 0 < len(own) < 20
    far = torch.cdist(own.flatten(1), everything.flatten(1)).min(dim=1).values
    assert (far < 1e-4).all()  # they are some of the given ones
    assert len(attackers_latents(model, CAT, None, 2)) == 2


def test_who_has_none_has_them_drawn_by_an_unedited_model(model: Any) -> None:
    bare, bias = replace(CAT, pictures=None), {"unet.conv_out.bias": torch.ones(4)}
    plain = attackers_latents(model, bare, model, 3)
    assert plain.shape == (3, 4, 8, 8)
    with model.swapped(bias):
        assert torch.equal(attackers_latents(model, bare, fresh(), 3), plain)
        assert unedited(model, model) is None
        with pytest.raises(BadConcept, match="unedited"):
            attackers_latents(model, bare, model, 3)
    assert unedited(model, model) is model
    with pytest.raises(BadConcept, match="pictures"):
        attackers_latents(model, bare, None, 3)


def test_the_longest_word_gives_way() -> None:
    assert placed("a wild cat", CAT, "{} <1>") == "a <1>"
    assert placed("a Mog , at night", CAT, "{} <1>", "dog") == "a dog , at night"
    assert placed("a house", CAT, "<1> in {}", "x") == "x in a house"
    assert named_in("a concatenation", CAT.names) is None
    found = named_in("some wild cat", CAT.names)
    assert found is not None
    assert found.group() == "wild cat"
    assert named_in("anything", ()) is None
