from __future__ import annotations

import pytest
import torch
from tests.trained import World, world

from excise.attacks.guidance import Guidance
from excise.errors import BadSetting
from excise.registry import create
from excise.types import Concept, Prompt

CAT = Concept("cat", neighbours=("dog",))


@pytest.fixture(scope="module")
def w() -> World:
    return world()


def test_it_covers_its_grid_exactly(w: World) -> None:
    attack = Guidance(guidance=(1.0, 4.0, 12.0), negatives=("{}", "{n}", "fog"))
    rounds = list(attack.search(w.model, (CAT,), Prompt.of(["a cat", "a dog"])))
    found = [(r.guidance, None if r.negative is None else r.negative[0].text) for r, _ in rounds]
    texts = (None, "cat", "dog", "fog")
    assert found == [(1.0, None)] + [(s, text) for s in (4.0, 12.0) for text in texts]
    assert all([r.prompts[0].text for r in both] == ["a cat", "a dog"] for both in rounds)


def test_what_has_no_neighbour_is_not_guided_away_from_one() -> None:
    attack = Guidance(guidance=(2.0,), negatives=("{n}", "a {}", "a {}"))
    assert attack.grid(Concept("cat")) == ((2.0, None), (2.0, "a cat"))


def test_each_point_is_drawn_as_it_says(w: World) -> None:
    """On the same noise: scale 1 leaves the null out, and every other point differs."""
    attack = Guidance(guidance=(1.0, 3.0), negatives=("{n}",))
    (one,), (own,), (away,) = attack.search(w.model, (CAT,), Prompt.of(["a cat"]))
    plain, guided, other = (w.model.generate(r).latents for r in (one, own, away))
    assert plain is not None
    assert torch.equal(plain, w.model.generate(["a cat"]).latents)  # the model's own guidance is 1
    assert not torch.allclose(plain, guided)
    assert not torch.allclose(guided, other)


def test_settings(w: World) -> None:
    assert create("attack", "guidance", {"guidance": "1,2"}).guidance == (1.0, 2.0)
    assert Guidance().at("thorough").guidance == tuple(range(1, 13))
    with pytest.raises(BadSetting, match="scales"):
        Guidance(guidance=(1.0, 1.0))
