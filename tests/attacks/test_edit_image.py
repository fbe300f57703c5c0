from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.trained import World, world

from excise.attacks.edit_image import EditImage
from excise.errors import BadSetting
from excise.types import Concept, Prompt, Request


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@pytest.fixture(scope="module")
def cat(w: World) -> Concept:
    with torch.no_grad():
        return Concept("cat", pictures=w.model.decode(w.latents["cat"]))


def requests(w: World, concept: Concept, **settings: Any) -> list[Request]:
    attack = EditImage(share="all", **settings)
    return [r for (r,) in attack.search(w.model, (concept,), Prompt.of(["a dog"]))]


def test_at_0_the_picture_comes_back_and_at_1_it_is_ignored(w: World, cat: Concept) -> None:
    none, whole = requests(w, cat, levels=(0.0, 1.0), each=1)
    picture = none.start.latents
    torch.testing.assert_close(picture, w.model.encode_pictures(cat.pictures[:1]))
    assert torch.equal(w.model.generate(none.on(7)).latents, picture)
    plain = w.model.generate(Request(prompts="a dog", seeds=(7,))).latents
    assert torch.equal(w.model.generate(whole.on(7)).latents, plain)


def test_the_higher_the_level_the_less_of_the_picture_is_left(w: World, cat: Concept) -> None:
    levels = (0.0, 0.3, 0.6, 0.9)
    found = requests(w, cat, levels=levels, each=1)
    picture = found[0].start.latents
    seeds = range(4)
    far = [(w.model.generate(r.on(*seeds)).latents - picture).square().mean().item() for r in found]
    assert far == sorted(far)
    assert far[0] == 0
    assert far[-1] > 2 * far[1]


def test_levels_and_pictures_in_turn(w: World, cat: Concept) -> None:
    found = requests(w, cat, levels=(0.4, 0.7), each=3)
    assert [r.start.level for r in found] == [0.4] * 3 + [0.7] * 3
    assert len({r.start.latents.sum().item() for r in found}) == 3
    again = requests(w, cat, levels=(0.4, 0.7), each=3)
    for a, b in zip(found, again, strict=True):
        assert torch.equal(a.start.latents, b.start.latents)
    with pytest.raises(BadSetting, match="levels"):
        EditImage(levels=(1.2,))
