"""Pools of rendered pictures, made once and kept as memory-mapped arrays."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray

from excise.emoji.glyphs import Atlas
from excise.emoji.world import SIDE, Scene, World, render

CHUNK = 512

Pictures = NDArray[np.uint8]


def draw_chunk(world: World, seed: int, chunk: int, count: int) -> tuple[Pictures, list[Scene]]:
    """`count` pictures and their scenes; depends on (seed, chunk) alone."""
    rng = np.random.default_rng((seed, chunk))
    scenes = [world.sample(rng) for _ in range(count)]
    return np.stack([render(scene, world.atlas) for scene in scenes]), scenes


def draw_pool(
    world: World, seed: int, count: int, *, processes: int = 2
) -> tuple[Pictures, list[Scene]]:
    """`count` pictures, (count, 64, 64, 3) uint8, and their scenes."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    pictures = np.empty((count, SIDE, SIDE, 3), np.uint8)
    scenes: list[Scene] = []
    with ProcessPoolExecutor(processes) as pool:
        jobs = [pool.submit(draw_chunk, world, seed, i, size) for i, size in enumerate(sizes)]
        for i, job in enumerate(jobs):
            part, drawn = job.result()
            pictures[i * CHUNK : i * CHUNK + len(part)] = part
            scenes += drawn
    return pictures, scenes


def everything(atlas: Atlas) -> World:
    """Objects, decoys and "other" glyphs, held-out drawings too: for the autoencoder."""
    labels = tuple(dict.fromkeys(g.label for g in atlas.glyphs if g.label != "other"))
    return World(atlas=atlas, labels=(*labels, *["other"] * 10), held_out=None)
