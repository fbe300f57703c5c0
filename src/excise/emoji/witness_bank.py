"""The witness's bank: edges of renders, and thresholds fixed on pictures of other glyphs.

``python -m excise.emoji.witness_bank`` writes it again: two minutes on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas, Glyph
from excise.emoji.judging import Restricted, other_glyphs
from excise.emoji.styles import STYLES
from excise.emoji.world import SIDE, Item, Scene, World, render
from excise.judges.base import thresholds_at
from excise.judges.witness import BANK, FORMAT, Witness, edges, pack
from excise.store import save_tensors

SIZE = 50.0
"""Pixels a side of the reference renders, in the middle of what the world draws."""

WINDOW = slice(3, 29)
"""The cells of a render that are kept: the drawing and one cell around it."""

STAMP = (24, 32, 20, 32)
"""Top, bottom, left and right of the watermark, in cells."""

OTHERS = 100
LEAST = 0.02
"""No label's margin over its rivals counts for less."""

WATERMARK = 0.54
"""With the stamp correlations are 0.63 to 0.93, without it at most 0.45, over all styles."""


def bank_glyphs(atlas: Atlas) -> tuple[Glyph, ...]:
    """All drawings of objects and decoys, and other glyphs than those that fix thresholds."""
    kept = {glyph.index for glyph in other_glyphs(atlas, "test")}
    others = [g for g in atlas.glyphs if g.label == "other" and g.index not in kept]
    chosen = np.linspace(0, len(others) - 1, OTHERS).round().astype(int)
    return (*(g for g in atlas.glyphs if g.label != "other"), *(others[i] for i in chosen))


def make_bank(path: Path = BANK, *, count: int = 900) -> dict[str, Any]:
    """Write the bank; what it does on fresh pictures, by style and by label."""
    atlas = Atlas()
    glyphs = bank_glyphs(atlas)
    renders = edges(_tensor([_render(atlas, glyph) for glyph in glyphs]))
    stamp = edges(_tensor([_render(atlas, None)]))
    top, bottom, left, right = STAMP
    tensors = {
        "renders": pack(renders[..., WINDOW, WINDOW]),
        "mark/watermark": pack(stamp[..., top:bottom, left:right]),
    }
    meta: dict[str, Any] = {
        "format": FORMAT,
        "labels": [glyph.label for glyph in glyphs],
        "marks": {"watermark": [top, left]},
        "thresholds": {},
        "quality": {},
    }
    save_tensors(path, tensors, meta)
    meta["thresholds"] = fixed_thresholds(Witness(bank=str(path)), seed=700, count=count)
    save_tensors(path, tensors, meta)
    meta["quality"] = quality(Witness(bank=str(path)), seed=750, count=count)
    save_tensors(path, tensors, meta)
    return dict(meta["quality"])


def fixed_thresholds(witness: Witness, *, seed: int, count: int) -> dict[str, float]:
    """By label: at most 0.5 % false alarms on unseen other glyphs and on other objects."""
    found: dict[str, float] = {}
    for part in test_scenes(seed, count):
        values = witness.scores(_tensor([picture for _, picture in part]))
        absent = ~_truth(witness, [scene for scene, _ in part])
        for label, cut in thresholds_at(values, absent, witness.labels, least=LEAST).items():
            found[label] = max(found.get(label, LEAST), cut)
    # Between the two heaps of scores, with and without, which lie far apart.
    found["watermark"] = max(found["watermark"], WATERMARK)
    return found


def quality(witness: Witness, *, seed: int, count: int) -> dict[str, Any]:
    """On fresh renders: hits and false alarms by label, nearest label right by style."""
    others, known = test_scenes(seed, count)
    sheet = witness.scores(_tensor([picture for _, picture in known]))
    cuts = torch.tensor([witness.thresholds[label] for label in witness.labels])
    truth = _truth(witness, [scene for scene, _ in known])
    alarms = (witness.scores(_tensor([picture for _, picture in others])) >= cuts).float().mean(0)
    things = len(witness.things)
    right = truth[:, :things].gather(1, sheet[:, :things].argmax(dim=1, keepdim=True))[:, 0]
    styles = [scene.style for scene, _ in known]
    return {
        "pictures": count,
        "nearest_right": {
            style: round(float(right[[s == style for s in styles]].float().mean()), 4)
            for style in STYLES
        },
        "hits": {
            label: round(float((sheet[truth[:, i], i] >= cuts[i]).float().mean()), 4)
            for i, label in enumerate(witness.labels)
            if truth[:, i].any()
        },
        "false_alarms": {
            label: round(float(alarms[i]), 4)
            for i, label in enumerate(witness.labels)
            if label not in ("other", "watermark")
        },
    }


Drawn = list[tuple[Scene, NDArray[np.uint8]]]


def test_scenes(seed: int, count: int) -> tuple[Drawn, Drawn]:
    """Scenes of one other glyph, none of them in the bank, and of one object or decoy."""
    atlas = Atlas()
    unseen = Restricted(atlas, other_glyphs(atlas, "test"))
    made: list[Drawn] = []
    for i, labels in enumerate((("other",), (*OBJECTS, *DECOYS))):
        world = World(
            atlas=unseen, labels=labels, held_out=None, pair_share=0.0, plain_share=1 / len(STYLES)
        )
        rng = np.random.default_rng((seed, i))
        scenes = [world.sample(rng) for _ in range(count)]
        made.append([(scene, render(scene, unseen)) for scene in scenes])
    return made[0], made[1]


def _truth(witness: Witness, scenes: list[Scene]) -> Tensor:
    """Bool (n, labels)."""
    shown = [{*s.labels, *(("watermark",) if s.watermark else ())} for s in scenes]
    return torch.tensor([[label in names for label in witness.labels] for names in shown])


def _render(atlas: Atlas, glyph: Glyph | None) -> NDArray[np.uint8]:
    """One upright glyph in the middle of grey, or the watermark alone."""
    items: tuple[Item, ...] = ()
    if glyph is not None:
        items = (
            Item(
                label=glyph.label, tile=glyph.index, x=SIDE / 2, y=SIDE / 2, size=SIZE,
                angle=0.0, flip=False, hue=0.0,
            ),
        )  # fmt: skip
    return render(
        Scene(items=items, background="gray", style="plain", watermark=glyph is None, seed=0), atlas
    )


def _tensor(pictures: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


if __name__ == "__main__":
    for name, value in make_bank().items():
        sys.stdout.write(f"{name}: {value}\n")
