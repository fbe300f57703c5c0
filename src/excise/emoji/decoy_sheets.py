"""Pictures of the decoys, so that a report can attack what no model was ever shown.

``python -m excise.emoji.decoy_sheets`` writes them again: a few seconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from excise.emoji.glyphs import DECOYS, LOSSLESS, Atlas
from excise.emoji.world import SIDE, World, render
from excise.store import atomic

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "decoys"
COUNT, COLUMNS, SEED = 64, 16, 31


def sheet(label: str, world: World, count: int = COUNT) -> NDArray[np.uint8]:
    """Renders of one decoy as a model draws an object when it is asked for no style.

    Tiles of 64x64 in rows of 16, (h, w, 3). count: a multiple of 16.
    """
    rng = np.random.default_rng((SEED, list(DECOYS).index(label)))
    tiles = [render(world.scene(rng, [label], style="plain"), world.atlas) for _ in range(count)]
    rows = np.stack(tiles).reshape(-1, COLUMNS, SIDE, SIDE, 3)  # (y, x, h, w, 3)
    whole: NDArray[np.uint8] = rows.transpose(0, 2, 1, 3, 4).reshape(-1, COLUMNS * SIDE, 3)
    return whole


def save_decoys(folder: Path = FOLDER, count: int = COUNT) -> None:
    """Write ``NAME.webp`` for each decoy."""
    world = World(atlas=Atlas())
    folder.mkdir(parents=True, exist_ok=True)
    for label in DECOYS:
        with atomic(folder / f"{label}.webp") as temporary:
            Image.fromarray(sheet(label, world, count)).save(temporary, **LOSSLESS)


if __name__ == "__main__":
    save_decoys()
