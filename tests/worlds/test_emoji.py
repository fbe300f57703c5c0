from __future__ import annotations

import pytest
import torch

import excise
from excise import registry
from excise.emoji.pictures import concept_pictures
from excise.errors import UnknownName
from excise.types import Concept, World
from excise.worlds.emoji import Emoji

WORLD: World = Emoji()


def test_it_renders_everything_that_the_shipped_model_knows() -> None:
    model = excise.load("emoji")
    assert registry.create("world", model.notes["world"]) == WORLD  # type: ignore[attr-defined]
    assert model.known
    assert all(WORLD.knows(concept) for concept in model.known)
    (picture,) = WORLD.pictures(model.known[0], 1, seed=0)
    assert tuple(picture.shape[1:]) == model.picture_size


def test_objects_are_in_no_style_and_a_seed_is_another_set() -> None:
    cat = Concept("cat")
    own = WORLD.pictures(cat, 3, seed=1)
    assert own.dtype == torch.uint8
    assert torch.equal(own, concept_pictures("cat", 3, style="plain", seed=1))
    other = WORLD.pictures(cat, 3, seed=2)
    assert not {p.numpy().tobytes() for p in own} & {p.numpy().tobytes() for p in other}


def test_a_style_is_shown_by_any_objects_and_so_is_the_watermark() -> None:
    for name, kind in (("sketch", "style"), ("watermark", "implicit")):
        found = WORLD.pictures(Concept(name, kind=kind), 2, seed=0)  # type: ignore[arg-type]
        assert torch.equal(found, concept_pictures(name, 2))


def test_what_the_world_lacks_or_calls_something_else_it_does_not_know() -> None:
    assert not WORLD.knows(Concept("submarine"))
    assert not WORLD.knows(Concept("cat", kind="style"))
    with pytest.raises(UnknownName, match="submarine"):
        WORLD.pictures(Concept("submarine"), 1, seed=0)
