"""Pictures as sheets of tiles in files, and as small data URIs inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from excise.errors import BadFile
from excise.reporting.record import Record
from excise.reporting.subject import Pictures

SMALL = 96  # pixels; up to this side a tile stays a PNG, which keeps every pixel
# (largest side, quality) to try in turn until a page is small enough.
STEPS: tuple[tuple[int, int], ...] = ((256, 85), (192, 80), (128, 75), (96, 70), (64, 60))


def uint8(pictures: Tensor) -> Tensor:
    """uint8 (n, 3, h, w), of the same or of floats in [0, 1]."""
    if pictures.dtype == torch.uint8:
        return pictures.cpu()
    return (pictures.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def image(picture: Tensor) -> Image.Image:
    """One picture, uint8 (3, h, w)."""
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())


def sheet(pictures: Tensor, columns: int) -> bytes:
    """A PNG of pictures uint8 (n, 3, h, w), row after row."""
    n, _, height, width = pictures.shape
    rows = -(-n // columns)
    whole = Image.new("RGB", (min(columns, n) * width, rows * height), "white")
    for i, picture in enumerate(pictures):
        whole.paste(image(picture), (i % columns * width, i // columns * height))
    return _encoded(whole, "PNG")


def tiles(path: Path, group: Pictures) -> Tensor:
    """The pictures of a sheet, uint8 (n, 3, h, w). Raises BadFile."""
    (height, width), n = group.size, len(group.seeds)
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            whole = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadFile(
            f"expected a PNG at {path}, got: {error}; evaluate again, or remove the file to go "
            "without its pictures"
        ) from error
    rows = -(-n // group.columns)
    if whole.size != (min(group.columns, n) * width, rows * height):
        raise BadFile(
            f"expected {n} tiles of {width}x{height} in {path}, got a picture of "
            f"{whole.width}x{whole.height}; evaluate again"
        )
    pixels = torch.from_numpy(np.asarray(whole).copy())  # (rows h, columns w, 3)
    found = []
    for i in range(n):
        top, left = i // group.columns * height, i % group.columns * width
        found.append(pixels[top : top + height, left : left + width].permute(2, 0, 1))
    return torch.stack(found)


def read_sheets(record: Record, folder: Path) -> dict[str, Tensor]:
    """The pictures of a record by path; those that are not there are left out.

    Raises:
        BadFile: a path leads out of the folder, or a sheet is damaged.
    """
    found = {}
    for group in record.pictures:
        for name in group.sheets.values():
            parts = PurePosixPath(name.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts or ":" in name:
                raise BadFile(
                    f"expected the pictures of a report inside its folder, got {name!r}; take "
                    "the report from where it was made"
                )
            if (folder / parts).exists():
                found[name] = tiles(folder / parts, group)
    return found


def data_uri(picture: Tensor, side: int = 256, quality: int = 85) -> str:
    """A picture, uint8 (3, h, w), shrunk to at most `side` pixels, as a data URI."""
    small = image(picture)
    if max(small.size) > side:
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
    kind = "PNG" if max(small.size) <= SMALL else "WEBP"
    data = base64.b64encode(_encoded(small, kind, quality)).decode("ascii")
    return f"data:image/{kind.lower()};base64,{data}"


def embedded(pictures: Mapping[str, Tensor], most: int) -> dict[str, tuple[str, ...]]:
    """The data URIs of all pictures by sheet, smaller ones where they would exceed `most` bytes.

    Where even the smallest do, the sheets that no longer fit are left out, the last ones first.
    """
    found: dict[str, tuple[str, ...]] = {}
    largest = max((max(group.shape[-2:]) for group in pictures.values()), default=0)
    for i, (side, quality) in enumerate(STEPS):
        if i and largest <= min(side, SMALL):
            continue  # PNG, as it was
        found = {
            name: tuple(data_uri(picture, side, quality) for picture in group)
            for name, group in pictures.items()
        }
        if _bytes(list(found.values())) <= most:
            return found
    while found and _bytes(list(found.values())) > most:
        found.popitem()
    return found


def _bytes(groups: Sequence[tuple[str, ...]]) -> int:
    return sum(len(uri) for group in groups for uri in group)


def _encoded(picture: Image.Image, kind: str, quality: int = 85) -> bytes:
    file = io.BytesIO()
    if kind == "PNG":
        picture.save(file, "PNG", optimize=True)
    else:
        picture.save(file, kind, quality=quality, method=4)
    return file.getvalue()
