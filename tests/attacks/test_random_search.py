from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests import tiny
from tests.attacks.toy import told

from excise.attacks.random_search import RandomSearch
from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.types import Concept, Prompt, Request

PROMPTS = Prompt.of(["a photo", "a tree", "the picture", "in a style", "red", "a dog of a"])
CAT = (Concept("cat"),)


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


class Walls:
    """Each prompt falls beyond a wall of its own along the way from "" to "cat"."""

    def __init__(self, model: Any) -> None:
        self.plain = model.encode(PROMPTS).hidden
        self.way = (model.encode("cat").hidden - model.encode("").hidden)[0]
        unit = self.way.norm()
        self.walls = [0.1 * (1 + p) * unit for p in range(len(PROMPTS))]
        self.way = self.way / unit

    def fell(self, many: tuple[Request, ...]) -> tuple[bool, ...]:
        found = []
        for p, one in enumerate(many):
            assert one.condition is not None
            gone = (one.condition.hidden[0] - self.plain[p]).flatten() @ self.way.flatten()
            found.append(bool(gone > self.walls[p]))
        return tuple(found)


def count(model: Any, hears: bool, seed: int) -> int:
    """How many prompts fall within 25 looks, with and without being told."""
    walls = Walls(model)
    ever = [False] * len(PROMPTS)

    def answer(many: tuple[Request, ...]) -> tuple[bool, ...]:
        nonlocal ever
        fell = walls.fell(many)
        ever = [a or b for a, b in zip(ever, fell, strict=True)]
        return fell if hears else (False,) * len(fell)

    attack = RandomSearch(looks=25, radius=0.4)
    list(told(attack.search(model, CAT, PROMPTS, seed=seed), answer))
    return sum(ever)


def test_who_is_told_what_fell_fells_more(model: Any) -> None:
    heard = [count(model, True, seed) for seed in range(4)]
    deaf = [count(model, False, seed) for seed in range(4)]
    assert all(a >= b for a, b in zip(heard, deaf, strict=True))
    assert sum(heard) > sum(deaf) + 4


def test_a_prompt_that_fell_keeps_what_felled_it(model: Any) -> None:
    walls, seen = Walls(model), []

    def answer(many: tuple[Request, ...]) -> tuple[bool, ...]:
        seen.append(many)
        return walls.fell(many)

    list(told(RandomSearch(looks=30).search(model, CAT, PROMPTS), answer))
    for before, after in itertools.pairwise(seen):
        for p, fell in enumerate(walls.fell(before)):
            assert fell == (before[p] is after[p])


def test_it_begins_with_the_conditionings_as_they_are_and_stops_when_all_fell(model: Any) -> None:
    hunt = RandomSearch(looks=9).search(model, CAT, PROMPTS)
    (only,) = told(hunt, lambda many: (True,) * len(many))
    plain = model.encode(PROMPTS).hidden
    for p, one in enumerate(only):
        assert one.prompts == (PROMPTS[p],)
        assert one.condition is not None
        assert torch.equal(one.condition.hidden[0], plain[p])


@pytest.mark.parametrize("directions", ["words", "gaussian"])
def test_steps_are_no_longer_than_the_radius(model: Any, directions: str) -> None:
    attack = RandomSearch(looks=20, radius=0.5, directions=directions)  # type: ignore[arg-type]
    plain = model.encode(PROMPTS).detach().hidden
    lengths = []
    for many in told(attack.search(model, CAT, PROMPTS), lambda many: (False,) * len(many)):
        moved = [one.condition.hidden[0] for one in many if one.condition is not None]
        away = torch.stack(moved) - plain
        assert torch.allclose(away, away[:1].expand_as(away), atol=1e-5)  # one step for all
        lengths.append(float(away[0].norm()))
    every = model.encode(list(model.lexicon().words)).detach()
    words = every.hidden - model.encode("").detach().hidden
    most = float(words.flatten(1).norm(dim=1).max())
    assert lengths[0] == 0
    assert 0 < max(lengths) < 0.5 * most * 1.3
    assert len(set(lengths)) == 20


def test_bad_values_are_refused() -> None:
    for bad in ({"looks": 0}, {"radius": 0.0}, {"directions": "up"}):
        with pytest.raises(BadSetting):
            RandomSearch(**bad)  # type: ignore[arg-type]
