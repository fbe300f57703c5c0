"""The shipped sheets are what the world renders, and a report can read them."""

from __future__ import annotations

import numpy as np
import pytest

from excise.emoji.decoy_sheets import COLUMNS, COUNT, FOLDER, sheet
from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.world import SIDE, World
from excise.suite.decoys import read_sheet


def test_every_decoy_has_a_sheet_and_nothing_else_has() -> None:
    assert {path.stem for path in FOLDER.glob("*.webp")} == set(DECOYS)
    assert not set(DECOYS) & set(OBJECTS)


@pytest.mark.parametrize("label", ["fox", "castle"])
def test_a_shipped_sheet_is_what_is_rendered(label: str) -> None:
    made = sheet(label, World(atlas=Atlas()))
    tiles = read_sheet(FOLDER / f"{label}.webp", (SIDE, SIDE))
    assert tuple(tiles.shape) == (COUNT, 3, SIDE, SIDE)
    last = np.s_[(COUNT // COLUMNS - 1) * SIDE :, (COLUMNS - 1) * SIDE :]
    assert np.array_equal(tiles[-1].permute(1, 2, 0).numpy(), made[last])
    assert np.array_equal(tiles[1].permute(1, 2, 0).numpy(), made[:SIDE, SIDE : 2 * SIDE])
    assert len({tile.numpy().tobytes() for tile in tiles}) == COUNT
