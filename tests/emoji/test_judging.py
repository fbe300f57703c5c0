"""What the judges are trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.judging import (
    LABELS,
    SEEN,
    THINGS,
    Restricted,
    Which,
    augmented,
    labelled,
    make,
    other_glyphs,
    targets_of,
)
from excise.emoji.styles import STYLES
from excise.emoji.world import World

N = 48
NOTHING = LABELS.index("nothing")


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    data = labelled(World(atlas=Atlas(), empty_share=0.1), 1, N)
    x = torch.from_numpy(data.pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return x, torch.from_numpy(data.targets)


@pytest.mark.parametrize("which", ["judge", "auditor"])
def test_augmented_pictures_keep_shape_and_range(
    which: Which, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x, y = batch
    before = x.clone(), y.clone()
    a, b, w = augmented(x, y, np.random.default_rng(0), which)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])
    assert (a.shape, b.shape, w.shape) == (x.shape, y.shape, y.shape)
    assert a.dtype == b.dtype == w.dtype == torch.float32
    assert a.min() >= -1
    assert a.max() <= 1
    assert set(b.unique().tolist()) == set(w.unique().tolist()) == {0.0, 1.0}
    again = augmented(x, y, np.random.default_rng(0), which)
    assert all(torch.equal(p, q) for p, q in zip((a, b, w), again, strict=True))


def test_junk_shows_nothing_and_blends_show_both(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = batch
    _, b, w = augmented(x, y, np.random.default_rng(0), "judge")
    junk, things = N // 12, len(THINGS) + 1
    assert (b[: 2 * junk].sum(dim=1) == 1).all()
    assert (b[: 2 * junk, NOTHING] == 1).all()
    blends = slice(2 * junk, 3 * junk)
    assert (b[blends] >= y[blends]).all()
    assert (b[blends] > y[blends]).any()
    assert torch.equal(b[3 * junk :], y[3 * junk :])
    # The style of junk and of blends is not asked for; everything else counts.
    assert (w[: 3 * junk, things:] == 0).all()
    assert (w[: 3 * junk, :things] == 1).all()
    assert (w[3 * junk :] == 1).all()


def test_the_auditors_colours_vary_more(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = batch
    far = {}
    for which in ("judge", "auditor"):
        a, _, _ = augmented(x, y, np.random.default_rng(0), which)
        means = a.mean(dim=(2, 3)) - x.mean(dim=(2, 3))
        far[which] = float(means[N // 4 :].abs().mean())
    assert far["auditor"] > 1.3 * far["judge"]


def test_targets_name_objects_style_and_watermark() -> None:
    world = World(atlas=Atlas())
    rng = np.random.default_rng(0)
    scene = world.scene(rng, ["cat", "dog"], style="neon", watermark=True)
    row = targets_of(scene)
    assert {LABELS[i] for i in np.flatnonzero(row)} == {"cat", "dog", "neon", "watermark"}
    empty = targets_of(world.scene(rng, [], style="plain", watermark=False))
    assert {LABELS[i] for i in np.flatnonzero(empty)} == {"nothing", "plain"}


def test_labels_are_things_nothing_styles_and_the_watermark() -> None:
    assert (*OBJECTS, *DECOYS, "other", "nothing", *STYLES, "watermark") == LABELS


def test_judge_auditor_and_thresholds_have_other_glyphs_of_their_own() -> None:
    atlas = Atlas()
    parts = [{g.index for g in other_glyphs(atlas, p)} for p in ("judge", "auditor", "test")]
    assert set.union(*parts) == {g.index for g in atlas.glyphs if g.label == "other"}
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert all(len(part) > 90 for part in parts)


def test_a_restricted_atlas_has_only_these_others() -> None:
    atlas = Atlas()
    chosen = other_glyphs(atlas, "test")
    few = Restricted(atlas, chosen)
    assert set(few.drawings("other", held_out=None)) == {g.index for g in chosen}
    assert few.drawings("cat") == atlas.drawings("cat")
    assert few.tile(chosen[3].index).tobytes() == atlas.tile(chosen[3].index).tobytes()


@pytest.mark.parametrize("which", ["judge", "auditor"])
def test_networks_have_one_answer_a_label(which: Which) -> None:
    model, blank = make(which).eval(), torch.zeros(2, 3, SEEN[which], SEEN[which])
    with torch.no_grad():
        assert model(pixel_values=blank).logits.shape == (2, len(LABELS))
    assert [model.config.id2label[i] for i in range(len(LABELS))] == list(LABELS)
