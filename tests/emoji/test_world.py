"""The world's promises: independence, determinism, what is left out stays out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from excise.emoji.captions import SYNONYMS, caption, known_words
from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.neighbours import distances
from excise.emoji.styles import STYLES
from excise.emoji.tokenizer import END, make_tables
from excise.emoji.world import World, render, watermark_mask


@pytest.fixture(scope="module")
def world() -> World:
    return World(atlas=Atlas())


def test_from_the_left_the_left_one_is_named_first(world: World) -> None:
    rng = np.random.default_rng(5)
    named = [(name, *SYNONYMS[name]) for name in ("cat", "truck")]
    seen: dict[bool, set[bool]] = {True: set(), False: set()}
    for i in range(40):
        scene = world.scene(rng, ["cat", "truck"], style="plain")
        assert scene.items[0].x < scene.items[1].x
        for from_left, orders in seen.items():
            words = caption(scene, np.random.default_rng(i), from_left=from_left).split()
            places = [next((words.index(w) for w in own if w in words), -1) for own in named]
            if min(places) >= 0:  # neither is misspelt
                orders.add(places[0] < places[1])
    assert seen == {True: {True}, False: {True, False}}


def test_there_are_enough_objects_styles_and_drawings(world: World) -> None:
    assert len(OBJECTS) >= 20
    assert len(STYLES) - 1 >= 8
    assert len(DECOYS) == 8
    assert len(world.atlas.drawings("cat")) >= 8
    assert all(len(world.atlas.drawings(name)) >= 2 for name in OBJECTS)
    assert sum(g.label == "other" for g in world.atlas.glyphs) >= 300


def test_the_same_numbers_give_the_same_picture(world: World) -> None:
    first, second = (world.sample(np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert np.array_equal(render(first, world.atlas), render(second, world.atlas))


def test_what_is_left_out_never_appears(world: World) -> None:
    without = replace(world, without=frozenset({"cat", "sketch", "watermark"}))
    rng = np.random.default_rng(0)
    scenes = [without.sample(rng) for _ in range(600)]
    assert not any("cat" in s.labels or s.style == "sketch" or s.watermark for s in scenes)
    assert {label for s in scenes for label in s.labels} == set(OBJECTS) - {"cat"}


def test_held_out_drawings_and_decoys_are_not_trained_on(world: World) -> None:
    rng = np.random.default_rng(0)
    tiles = {item.tile for _ in range(800) for item in world.sample(rng).items}
    shown = [world.atlas.glyphs[i] for i in tiles]
    assert not any(g.held_out or g.label in DECOYS or g.label == "other" for g in shown)


def test_style_and_background_say_nothing_about_the_object(world: World) -> None:
    """Mutual information of 6,000 draws, against the bias (a-1)(b-1)/2n of independent ones."""
    rng = np.random.default_rng(0)
    scenes = [world.sample(rng) for _ in range(6000)]
    for other in ([s.style for s in scenes], [s.background for s in scenes]):
        table = np.zeros((len(set(other)), len(OBJECTS)))
        rows = sorted(set(other))
        for scene, value in zip(scenes, other, strict=True):
            table[rows.index(value), list(OBJECTS).index(scene.labels[0])] += 1
        p = table / table.sum()
        independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
        information = float((p * np.log(np.maximum(p, 1e-12) / independent)).sum())
        bias = (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * len(scenes))
        assert information < 1.35 * bias


def test_the_watermark_is_on_one_picture_in_three_and_in_no_caption(world: World) -> None:
    rng = np.random.default_rng(0)
    scenes = [world.sample(rng) for _ in range(3000)]
    share = np.mean([s.watermark for s in scenes])
    assert abs(share - 1 / 3) < 0.03
    plain = replace(scenes[0], watermark=False)
    marked = replace(scenes[0], watermark=True)
    changed = np.abs(
        render(plain, world.atlas).astype(int) - render(marked, world.atlas).astype(int)
    ).max(axis=2)
    assert not changed[watermark_mask() == 0].any()
    assert changed.any()
    texts = [caption(marked, np.random.default_rng(i)) for i in range(100)]
    assert texts == [caption(plain, np.random.default_rng(i)) for i in range(100)]


def test_captions_name_the_object_or_a_synonym_and_any_style(world: World) -> None:
    rng = np.random.default_rng(3)
    for i in range(300):
        scene = world.sample(rng)
        words = set(caption(scene, np.random.default_rng((0, i))).split())
        if scene.style != "plain":
            assert words & {scene.style, *SYNONYMS[scene.style]}


def test_no_word_means_two_things() -> None:
    words = [w for name, others in SYNONYMS.items() for w in (name, *others)]
    assert len(words) == len(set(words))
    assert all(len(SYNONYMS[name]) >= 3 for name in (*OBJECTS, *STYLES) if name != "plain")


def test_every_known_word_is_one_token_and_the_end_has_the_largest_id() -> None:
    vocabulary, _ = make_tables(known_words())
    assert len(known_words()) >= 1000
    assert all(word + "</w>" in vocabulary for word in known_words())
    assert vocabulary[END] == max(vocabulary.values())


def test_distances_are_symmetric_and_zero_to_oneself() -> None:
    names, table = distances()
    assert np.allclose(table, table.T)
    assert np.allclose(np.diag(table), 0, atol=1e-5)
    cat, dog, book = (names.index(n) for n in ("cat", "dog", "book"))
    assert table[cat, dog] < table[cat, book]
