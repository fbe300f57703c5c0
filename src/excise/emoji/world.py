"""The small world: what a scene is, how scenes are drawn at random, and how one is rendered.

Object, style, background, place and caption template are drawn independently of one another, so
that none of them tells anything about another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from excise.emoji.glyphs import OBJECTS, TILE, Atlas
from excise.emoji.styles import STYLES

SIDE = 64
"""Side of a picture, in pixels."""

BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "red": (214, 64, 60),
    "orange": (243, 150, 60),
    "yellow": (247, 220, 100),
    "green": (96, 176, 96),
    "teal": (60, 160, 160),
    "blue": (84, 140, 220),
    "purple": (148, 100, 190),
    "pink": (244, 160, 190),
    "brown": (150, 105, 70),
    "white": (244, 244, 244),
    "gray": (150, 152, 156),
    "black": (58, 60, 68),
}

# Five letters, five rows of pixels each, drawn twice their size.
_LETTERS = ("###.", "#...", "##..", "#...", "###."), ("#.#.", "#.#.", ".#..", "#.#.", "#.#.")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One glyph in a scene: centre and size in pixels, rotation in degrees, hue turn in radians."""

    label: str
    tile: int
    x: float
    y: float
    size: float
    angle: float
    flip: bool
    hue: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that is needed to render a picture again."""

    items: tuple[Item, ...]
    background: str
    style: str
    watermark: bool
    seed: int  # of the background's tones and of the style's own noise

    @property
    def labels(self) -> tuple[str, ...]:
        """What the picture shows, in the order of the items."""
        return tuple(item.label for item in self.items)


@dataclass(frozen=True, kw_only=True)
class World:
    """A distribution over scenes.

    `without` names what never appears: objects, styles or "watermark". What is left is drawn more
    often, so that a model trained without a concept sees as many pictures as the base.
    """

    atlas: Atlas
    without: frozenset[str] = frozenset()
    labels: tuple[str, ...] = tuple(OBJECTS)
    held_out: bool | None = False  # False: training drawings; True: held out; None: all
    plain_share: float = 0.4
    pair_share: float = 0.16
    watermark_share: float = 1 / 3
    empty_share: float = 0.0

    def sample(self, rng: np.random.Generator) -> Scene:
        """Draw a scene with one object, sometimes with two or (`empty_share`) none."""
        if self.empty_share and rng.random() < self.empty_share:
            return self.scene(rng, [])
        labels = [name for name in self.labels if name not in self.without]
        pair = len(labels) > 1 and rng.random() < self.pair_share
        chosen = rng.choice(len(labels), size=2 if pair else 1, replace=False)
        return self.scene(rng, [labels[int(i)] for i in chosen])

    def scene(
        self,
        rng: np.random.Generator,
        labels: Sequence[str],
        *,
        style: str | None = None,
        background: str | None = None,
        watermark: bool | None = None,
    ) -> Scene:
        """A scene that shows `labels` (at most two); what is not given is drawn at random."""
        styles = [s for s in STYLES if s != "plain" and s not in self.without]
        drawn = (
            "plain" if rng.random() < self.plain_share else styles[int(rng.integers(len(styles)))]
        )
        ground = list(BACKGROUNDS)[int(rng.integers(len(BACKGROUNDS)))]
        marked = bool(rng.random() < self.watermark_share) and "watermark" not in self.without
        items = [self._item(rng, label, i, len(labels)) for i, label in enumerate(labels)]
        return Scene(
            items=tuple(items),
            background=ground if background is None else background,
            style=drawn if style is None else style,
            watermark=marked if watermark is None else watermark,
            seed=int(rng.integers(2**31)),
        )

    def _item(self, rng: np.random.Generator, label: str, i: int, n: int) -> Item:
        tiles = self.atlas.drawings(label, held_out=self.held_out)
        tiles = tiles or self.atlas.drawings(label, held_out=None)
        size = rng.uniform(0.70, 0.84) * SIDE if n == 1 else rng.uniform(0.46, 0.54) * SIDE
        slack = (SIDE - size) / 2
        x = SIDE / 2 + rng.uniform(-0.8, 0.8) * slack
        if n == 2:  # one half each
            x = SIDE * (0.26 + 0.48 * i) + rng.uniform(-1.5, 1.5)
        return Item(
            label=label,
            tile=int(tiles[int(rng.integers(len(tiles)))]),
            x=float(x),
            y=float(SIDE / 2 + rng.uniform(-0.8, 0.8) * slack),
            size=float(size),
            angle=float(rng.uniform(-9, 9)),
            flip=bool(rng.random() < 0.5),
            hue=float(rng.normal(0, 0.12)),
        )


def _turn_hue(rgb: NDArray[np.float32], angle: float) -> NDArray[np.float32]:
    """Rotate colours about the grey axis by `angle` radians."""
    c, s = math.cos(angle), math.sin(angle) / math.sqrt(3)
    a, b = c + (1 - c) / 3, (1 - c) / 3
    turn = np.array([[a, b - s, b + s], [b + s, a, b - s], [b - s, b + s, a]], np.float32)
    turned: NDArray[np.float32] = np.clip(rgb @ turn.T, 0, 1)
    return turned


def _paste(canvas: NDArray[np.float32], item: Item, atlas: Atlas) -> NDArray[np.float32]:
    tile = atlas.tile(item.tile)
    scale = TILE / item.size
    c, s = math.cos(math.radians(item.angle)), math.sin(math.radians(item.angle))
    mirror = -1 if item.flip else 1
    # Output pixel -> tile pixel: undo the shift, the rotation, the size and the mirror.
    a, b, d, e = mirror * scale * c, mirror * scale * s, -scale * s, scale * c
    half = TILE / 2
    matrix = (a, b, half - a * item.x - b * item.y, d, e, half - d * item.x - e * item.y)
    rgba = tile.convert("RGBa").transform(
        (SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    # (h, w, 4), premultiplied
    pixels: NDArray[np.float32] = np.asarray(rgba, np.float32) / np.float32(255)
    alpha = pixels[..., 3:]
    colour = pixels[..., :3] / np.maximum(alpha, 1e-3)
    pasted: NDArray[np.float32] = (
        alpha * _turn_hue(np.clip(colour, 0, 1), item.hue) + (1 - alpha) * canvas
    )
    return pasted


def watermark_mask() -> NDArray[np.float32]:
    """Where the stamp is: (h, w) with 1 for letters, 0.5 for its plate, 0 elsewhere."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    top, left, wide = SIDE - 14, SIDE - 22, 20
    mask[top : top + 12, left : left + wide] = 0.5
    for i, letter in enumerate(_LETTERS):
        for y, row in enumerate(letter):
            for x, dot in enumerate(row):
                if dot == "#":
                    at_y, at_x = top + 1 + 2 * y, left + 3 + 2 * x + 8 * i
                    mask[at_y : at_y + 2, at_x : at_x + 2] = 1
    return mask


_STAMP = watermark_mask()


def render(scene: Scene, atlas: Atlas) -> NDArray[np.uint8]:
    """The picture of a scene, (64, 64, 3), 0 to 255."""
    rng = np.random.default_rng(scene.seed)
    base = np.array(BACKGROUNDS[scene.background], np.float32) / 255
    tone: NDArray[np.float32] = np.clip(base + rng.normal(0, 0.025, 3), 0, 1).astype(np.float32)
    canvas = np.broadcast_to(tone, (SIDE, SIDE, 3)).copy()
    horizon = int(rng.integers(36, 52))
    canvas[horizon:] = np.clip(canvas[horizon:] * rng.uniform(0.78, 0.9), 0, 1)
    for item in scene.items:
        canvas = _paste(canvas, item, atlas)
    canvas = STYLES[scene.style](canvas.astype(np.float32), rng).astype(np.float32)
    if scene.watermark:
        plate, letters = (_STAMP > 0)[..., None], (_STAMP == 1)[..., None]
        canvas = np.where(plate, np.array([0.96, 0.96, 0.98], np.float32), canvas)
        canvas = np.where(letters, np.array([0.78, 0.05, 0.35], np.float32), canvas)
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


def restyled(scene: Scene, style: str) -> Scene:
    """The same scene in another style."""
    return replace(scene, style=style)
