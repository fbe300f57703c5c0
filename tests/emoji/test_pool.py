"""Pools of pictures: the same whoever draws them, and in as many processes as there are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from excise.emoji import pool
from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.pool import draw_chunk, draw_pool, everything
from excise.emoji.world import World, render


@pytest.fixture(scope="module")
def world() -> World:
    return World(atlas=Atlas())


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CHUNK", 16)


def test_a_pool_does_not_depend_on_the_number_of_processes(world: World) -> None:
    pictures, scenes = draw_pool(world, 4, 40, processes=1)
    others, same = draw_pool(world, 4, 40, processes=3)
    assert np.array_equal(pictures, others)
    assert scenes == same
    assert pictures.shape == (40, 64, 64, 3)
    assert pictures.dtype == np.uint8
    assert np.array_equal(pictures[33], render(scenes[33], world.atlas))


def test_a_longer_pool_begins_like_a_shorter_one(world: World) -> None:
    short, _ = draw_pool(world, 4, 16, processes=1)
    long, _ = draw_pool(world, 4, 24, processes=1)
    assert np.array_equal(long[:16], short)


def test_other_seeds_and_other_chunks_are_other_pictures(world: World) -> None:
    first, _ = draw_chunk(world, 4, 0, 8)
    assert np.array_equal(first, draw_chunk(world, 4, 0, 8)[0])
    assert not np.array_equal(first, draw_chunk(world, 5, 0, 8)[0])
    assert not np.array_equal(first, draw_chunk(world, 4, 1, 8)[0])


def test_the_autoencoder_sees_everything_held_out_drawings_too() -> None:
    rng = np.random.default_rng(0)
    world = everything(Atlas())
    items = [item for _ in range(2500) for item in world.sample(rng).items]
    labels = Counter(item.label for item in items)
    assert set(labels) == {*OBJECTS, *DECOYS, "other"}
    assert any(world.atlas.glyphs[item.tile].held_out for item in items)
