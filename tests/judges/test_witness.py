from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.judging import Restricted, other_glyphs
from excise.emoji.witness_bank import bank_glyphs
from excise.emoji.world import SIDE, Item, Scene, World, render
from excise.errors import BadFile, UnknownName
from excise.judges.witness import BANK, Witness, correlations, edges, mirrored, unit
from excise.primitives.panel import read

ATLAS = Atlas()


def draw(label: str, tile: int, style: str = "plain", **pose: float) -> Tensor:
    values = {"x": SIDE / 2, "y": SIDE / 2, "size": 50.0, "angle": 0.0, "hue": 0.0} | pose
    item = Item(label=label, tile=tile, flip=False, **values)
    scene = Scene(items=(item,), background="teal", style=style, watermark=False, seed=1)
    return torch.from_numpy(render(scene, ATLAS)).permute(2, 0, 1)


def scenes(n: int, seed: int, *, others: bool = False, **fixed: object) -> list[tuple[str, Tensor]]:
    """Fresh pictures as the world draws them; of unseen other glyphs, or of objects and decoys."""
    atlas = Restricted(ATLAS, other_glyphs(ATLAS, "test")) if others else ATLAS
    labels = ("other",) if others else (*OBJECTS, *DECOYS)
    world = World(atlas=atlas, labels=labels, held_out=None, pair_share=0.0)
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        label = labels[i % len(labels)]
        picture = torch.from_numpy(render(world.scene(rng, [label], **fixed), atlas))  # type: ignore[arg-type]
        made.append((label, picture.permute(2, 0, 1)))
    return made


@pytest.fixture(scope="module")
def witness() -> Witness:
    return Witness()


def test_edges_do_not_see_contrast_or_its_sign() -> None:
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(edges(x), edges(1 - x), atol=1e-4)
    assert torch.allclose(edges(x), edges(0.5 * x + 0.2), rtol=0.1, atol=0.05)


def test_a_mirrored_picture_has_mirrored_edges() -> None:
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(edges(x.flip(-1)), mirrored(edges(x)), atol=1e-4)


def test_a_template_is_found_where_it_was_cut_out() -> None:
    maps = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    template = unit(maps[..., 3:29, 5:31])
    assert float(correlations(3 * maps + 1, template)) == pytest.approx(1.0, abs=1e-4)
    other = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    assert float(correlations(other, template)) < 0.2


@pytest.mark.parametrize("label", ["cat", "church", "truck", "apple", "fox"])
def test_a_shifted_mirrored_render_is_recognised(witness: Witness, label: str) -> None:
    tile = ATLAS.drawings(label, held_out=None)[0]
    poses = [
        draw(label, tile, x=35.0, y=30.0),
        draw(label, tile, x=29.0, y=34.0, size=46.0).flip(-1),
        draw(label, tile, size=53.0, angle=7.0).flip(-1),
        draw(label, tile, "sketch", x=34.0),
    ]
    sheet = read(witness, torch.stack(poses))
    assert sheet.drawn == (label,) * len(poses)


def test_fresh_pictures_are_told_apart(witness: Witness) -> None:
    made = scenes(90, seed=4)
    best = witness.nearest(torch.stack([picture for _, picture in made])).argmax(dim=1)
    right = [witness.things[i] == label for i, (label, _) in zip(best.tolist(), made, strict=True)]
    assert np.mean(right) >= 0.95


def test_soft_pictures_are_told_apart(witness: Witness) -> None:
    """As generated pictures are: without fine detail, and with some noise."""
    made = scenes(60, seed=5)
    x = torch.stack([picture for _, picture in made]).float() / 255
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    soft = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False) + 0.03 * noise
    sheet = read(witness, soft.clamp(0, 1))
    assert np.mean([a == b for a, (b, _) in zip(sheet.drawn, made, strict=True)]) >= 0.85


def test_unseen_glyphs_are_not_taken_for_objects(witness: Witness) -> None:
    made = scenes(100, seed=6, others=True)
    sheet = read(witness, torch.stack([picture for _, picture in made]))
    objects = [sheet.column(name) for name in (*OBJECTS, *DECOYS)]
    cuts = torch.tensor([sheet.thresholds[sheet.labels[i]] for i in objects])
    assert float((sheet.values[:, objects] >= cuts).float().mean()) <= 0.01


def test_shapeless_pictures_show_nothing_much(witness: Witness) -> None:
    x = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    blobs = F.interpolate(x, size=64, mode="bicubic").clamp(0, 1)
    sheet = read(witness, blobs)
    shown = [name not in ("nothing", "other") for name in sheet.drawn]
    assert np.mean(shown) <= 0.35


def test_the_watermark_is_seen_whatever_the_picture_shows(witness: Witness) -> None:
    for marked in (True, False):
        made = scenes(40, seed=7, watermark=marked)
        sheet = read(witness, torch.stack([picture for _, picture in made]))
        assert bool(sheet.shown("watermark").all()) == marked
        assert "watermark" not in sheet.things


def test_scores_are_margins_between_labels(witness: Witness) -> None:
    pictures = torch.stack([picture for _, picture in scenes(8, seed=8)])
    values = witness.scores(pictures)[:, : len(witness.things)]
    assert torch.all((values > 0).sum(dim=1) == 1)
    best = witness.nearest(pictures)
    assert torch.equal(values.argmax(dim=1), best.argmax(dim=1))
    assert witness.scores(pictures[:0]).shape == (0, len(witness.labels))


def test_the_bank_is_small_and_says_what_was_measured(witness: Witness) -> None:
    assert BANK.stat().st_size < 1_000_000
    assert set(witness.labels) == {*OBJECTS, *DECOYS, "other", "watermark"}
    quality = witness._bank.quality
    assert min(quality["nearest_right"].values()) >= 0.9  # type: ignore[attr-defined]
    assert quality["hits"]["cat"] >= 0.95  # type: ignore[index]
    assert 0 <= witness.false_alarms["cat"] <= 0.02


def test_thresholds_were_fixed_on_glyphs_that_are_not_in_the_bank() -> None:
    held = {glyph.index for glyph in other_glyphs(ATLAS, "test")}
    assert not held & {glyph.index for glyph in bank_glyphs(ATLAS)}


def test_it_knows_shapes_only(witness: Witness) -> None:
    with pytest.raises(UnknownName):
        witness.score(torch.zeros(1, 3, 64, 64), "sketch")


def test_another_file_is_no_bank(tmp_path: Path) -> None:
    from excise.store import save_tensors

    path = tmp_path / "other.safetensors"
    save_tensors(path, {"renders": torch.zeros(1)})
    with pytest.raises(BadFile, match="witness's bank"):
        Witness(bank=str(path)).scores(torch.zeros(1, 3, 64, 64))
