"""Pictures of one concept, rendered: ``python -m excise.emoji.pictures watermark --out stamps``.

What somebody has who knows a concept by pictures and not by words. They come from the world and not
from a model, so no model that is compared on them has drawn them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.styles import STYLES
from excise.emoji.world import World, render
from excise.errors import UserError, unknown
from excise.rng import numpy_generator

WATERMARK = "watermark"
NAMES = (*OBJECTS, *(name for name in STYLES if name != "plain"), WATERMARK, *DECOYS)


def concept_pictures(
    name: str, n: int, *, style: str | None = None, seed: int = 0, atlas: Atlas | None = None
) -> Tensor:
    """``n`` pictures that show an object, style, decoy or the watermark: uint8 (n, 3, 64, 64).

    All else in them is drawn at random, as in training; of an object only drawings that a model
    was trained on.

    style: that all of them are in, ``plain`` for none; left out, each has any.

    Raises:
        UnknownName: the world has no such thing, or no such style. UserError: ``n`` < 1, or a style
        in another.
    """
    if name not in NAMES:
        raise unknown("thing in the emoji world", name, NAMES)
    if style is not None and style not in STYLES:
        raise unknown("style in the emoji world", style, STYLES)
    if style is not None and name in STYLES:
        raise UserError(f"expected no other style in pictures of a style, got {style!r}")
    if n < 1:
        raise UserError(f"expected one picture or more, got {n}")
    world, rng = World(atlas=atlas or Atlas()), numpy_generator("pictures of", seed, name)
    found = []
    for _ in range(n):
        shown = name if name in OBJECTS or name in DECOYS else str(rng.choice(tuple(OBJECTS)))
        scene = world.scene(
            rng,
            [shown],
            style=name if name in STYLES else style,
            watermark=True if name == WATERMARK else None,
        )
        found.append(render(scene, world.atlas))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()  # (n, h, w, 3) ->


def save_pictures(
    name: str, n: int, folder: Path, *, style: str | None = None, seed: int = 0
) -> list[Path]:
    """Write them as PNG files, ``000.png`` and so on. Raises as `concept_pictures`."""
    pictures = concept_pictures(name, n, style=style, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{i:03}.png" for i in range(n)]
    for file, picture in zip(files, pictures, strict=True):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(file)
    return files


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("-n", type=int, default=160)
    parser.add_argument("--style", choices=tuple(STYLES), help="of all; default: any")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        save_pictures(options.name, options.n, options.out, style=options.style, seed=options.seed)
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
