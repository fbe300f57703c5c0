"""The styles of the small world: image filters on arrays of shape (h, w, 3) in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Filter = Callable[[Array, np.random.Generator], Array]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _grey(x: Array) -> Array:
    return x @ _LUMA  # (h, w, 3) -> (h, w)


def _edges(x: Array) -> Array:
    """Strength of edges, the largest over the channels, (h, w), about [0, 1]."""
    soft = ndimage.gaussian_filter(x, (0.5, 0.5, 0))
    dy, dx = ndimage.sobel(soft, axis=0), ndimage.sobel(soft, axis=1)
    edge: Array = np.clip(np.sqrt(dx * dx + dy * dy).max(axis=2) * 0.36, 0, 1)
    return edge


def _mix(mask: Array, over: Array, under: Array) -> Array:
    return mask[..., None] * over + (1 - mask[..., None]) * under


def plain(x: Array, rng: np.random.Generator) -> Array:
    """No filter."""
    return x


def sketch(x: Array, rng: np.random.Generator) -> Array:
    """Grey pencil lines and light shading on white paper."""
    paper = 0.86 + 0.14 * _grey(x)
    shaded: Array = np.repeat((paper * (1 - 0.9 * _edges(x)))[..., None], 3, axis=2)
    return shaded


def neon(x: Array, rng: np.random.Generator) -> Array:
    """Glowing, saturated edges on black."""
    peak = x.max(axis=2, keepdims=True)
    hue = (x - 0.75 * x.min(axis=2, keepdims=True)) / np.maximum(peak, 0.15)
    hue = hue + (hue.max(axis=2, keepdims=True) < 0.35) * np.array([0.9, 0.2, 0.9], np.float32)
    edge = _edges(x)
    glow = ndimage.gaussian_filter(edge, 1.5)
    light = np.clip(1.1 * edge + 0.5 * glow, 0, 1)[..., None]
    glowing: Array = np.clip(hue * light + 0.25 * (edge[..., None] ** 3), 0, 1)
    return glowing


def blueprint(x: Array, rng: np.random.Generator) -> Array:
    """White lines on blue paper."""
    blue = np.array([0.10, 0.27, 0.62], np.float32) * np.ones_like(x)
    return _mix(0.95 * _edges(x), np.ones_like(x), blue)


def chalk(x: Array, rng: np.random.Generator) -> Array:
    """Pale, dusty strokes on a dark green board."""
    board = np.array([0.10, 0.23, 0.17], np.float32) * np.ones_like(x)
    dust = ndimage.gaussian_filter(rng.random(x.shape[:2], np.float32), 0.5)
    stroke = np.clip(_edges(x) * (0.6 + 0.8 * dust) + 0.22 * _grey(x), 0, 1)
    pale = 0.55 + 0.45 * x
    return _mix(stroke, pale, board)


def watercolor(x: Array, rng: np.random.Generator) -> Array:
    """Soft, washed-out colour with darker rims and blotches."""
    wash = ndimage.gaussian_filter(x, (1.1, 1.1, 0))
    blotch = ndimage.gaussian_filter(rng.standard_normal(x.shape[:2]).astype(np.float32), 5.0)
    blotch = blotch / (np.abs(blotch).max() + 1e-6)
    rim = ndimage.gaussian_filter(_edges(x), 0.8)[..., None]
    pale = 0.42 + 0.58 * wash + 0.09 * blotch[..., None] - 0.15 * rim
    painted: Array = np.clip(pale, 0, 1)
    return painted


def sepia(x: Array, rng: np.random.Generator) -> Array:
    """An old brown photograph."""
    g = np.clip((_grey(x) - 0.5) * 1.05 + 0.5, 0, 1)[..., None]
    dark, light = np.array([0.20, 0.11, 0.05]), np.array([0.98, 0.90, 0.72])
    brown: Array = (dark + (light - dark) * g).astype(np.float32)
    return brown


_HEAT = np.array(
    [[0.02, 0.0, 0.25], [0.35, 0.0, 0.6], [0.85, 0.1, 0.4], [1.0, 0.55, 0.05], [1.0, 1.0, 0.6]],
    np.float32,
)


def thermal(x: Array, rng: np.random.Generator) -> Array:
    """A heat camera: lightness drawn from violet over red to yellow."""
    position = np.clip(_grey(x), 0, 1) * (len(_HEAT) - 1)
    low = np.minimum(position.astype(int), len(_HEAT) - 2)
    part = (position - low)[..., None].astype(np.float32)
    heat: Array = _HEAT[low] * (1 - part) + _HEAT[low + 1] * part
    return heat


def comic(x: Array, rng: np.random.Generator) -> Array:
    """Few flat, loud colours inside thick black lines."""
    middle = x.mean(axis=2, keepdims=True)
    loud = np.clip(middle + 1.7 * (x - middle), 0, 1)
    flat = np.round(loud * 3) / 3
    line = np.clip(_edges(x) * 2.0 - 0.75, 0, 1)
    inked: Array = flat * (1 - line[..., None])
    return inked


STYLES: dict[str, Filter] = {
    "plain": plain,
    "sketch": sketch,
    "neon": neon,
    "blueprint": blueprint,
    "chalk": chalk,
    "watercolor": watercolor,
    "sepia": sepia,
    "thermal": thermal,
    "comic": comic,
}
