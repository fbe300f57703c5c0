"""Which objects and styles lie near each other: measured between renders, not listed by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from excise.emoji.glyphs import OBJECTS, Atlas
from excise.emoji.styles import STYLES
from excise.emoji.world import SIDE, Item, Scene, render

NEAREST = 3


def _pose(label: str, tile: int, style: str = "plain") -> Scene:
    item = Item(
        label=label, tile=tile, x=SIDE / 2, y=SIDE / 2, size=54.0, angle=0.0, flip=False, hue=0.0
    )
    return Scene(items=(item,), background="gray", style=style, watermark=False, seed=0)


def _shape(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Blurred edges at 16x16 beside blurred colour at 8x8, each centred and of unit norm."""
    x = picture.astype(np.float32) / 255
    grey = ndimage.gaussian_filter(x.mean(axis=2), 1.0)
    edge = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))
    parts = (
        ndimage.zoom(ndimage.gaussian_filter(edge, 2), 0.25, order=1),
        ndimage.zoom(ndimage.gaussian_filter(x, (4, 4, 0)), (0.125, 0.125, 1), order=1),
    )
    vectors = [p.ravel() - p.mean() for p in parts]
    return np.concatenate([v / (np.linalg.norm(v) + 1e-6) for v in vectors]).astype(np.float32)


def distances() -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Objects and distances (n, n) in [0, 2]: one minus the mean best correlation of drawings."""
    atlas = Atlas()
    names = tuple(OBJECTS)
    shapes = [
        np.stack([_shape(render(_pose(name, tile), atlas)) for tile in atlas.drawings(name)])
        for name in names
    ]
    table = np.zeros((len(names), len(names)))
    for i, a in enumerate(shapes):
        for j, b in enumerate(shapes):
            alike = a @ b.T / 2  # (drawings of i, drawings of j)
            table[i, j] = 1 - (alike.max(axis=1).mean() + alike.max(axis=0).mean()) / 2
    return names, table


def style_distances() -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Styles and the mean L1 distances (n, n), in [0, 1], of the same scenes in both."""
    atlas = Atlas()
    names = tuple(style for style in STYLES if style != "plain")
    tiles = [(label, atlas.drawings(label)[0]) for label in OBJECTS]
    rows = [
        np.stack([render(_pose(label, tile, style), atlas) for label, tile in tiles]).astype(float)
        for style in names
    ]
    flat = np.array([[np.abs(a - b).mean() / 255 for b in rows] for a in rows])
    return names, flat


def neighbours() -> dict[str, tuple[str, ...]]:
    """The three nearest objects of each object, and the three nearest styles of each style."""
    found: dict[str, tuple[str, ...]] = {}
    for names, table in (distances(), style_distances()):
        for i, name in enumerate(names):
            order = [j for j in np.argsort(table[i], kind="stable") if j != i]
            found[name] = tuple(names[j] for j in order[:NEAREST])
    return found
