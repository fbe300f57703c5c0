"""What networks that read pictures share: where they are, what they want to see, what they say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadFile, Unsupported
from excise.models.quiet import quietly
from excise.store import read_json, sha256_file

PREPROCESSOR = "preprocessor_config.json"
KERNELS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers for ways to resize, as `transformers` writes them; bicubic for the others."""

NEEDED = ("*.json", "merges.txt", "model.safetensors", "model-*.safetensors")


class Extractor(Protocol):
    """Something that describes pictures by vectors: a judge's network, an image tower."""

    @property
    def digest(self) -> str | None:
        """Of what its answers depend on; None if nothing says so, and nothing of it is kept."""

    def features(self, pictures: Tensor) -> Tensor:
        """float32 (n, d), on the CPU, of uint8 (n, 3, h, w) or floats in [0, 1]."""


Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class Given:
    """Any function, or module, from uint8 (n, 3, h, w) to (n, d), as an `Extractor`."""

    call: Call
    batch: int = 32
    digest: str | None = None

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """What it says, as float32 (n, d) on the CPU."""
        rows = [self.call(part).detach().float().cpu() for part in batches(pictures, self.batch)]
        return torch.cat(rows)


def extractor_of(thing: object) -> Extractor | None:
    """A judge, or part of a jury, that has features; a function, or module, that gives some.

    None if it can do neither.
    """
    first: Any = getattr(thing, "panels", (thing,))[0]
    if callable(getattr(first, "features", None)):
        found: Extractor = first
        return found
    return Given(call=first) if callable(first) else None


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a network wants its pictures to look like.

    size: of a side, in pixels. mean, std: by channel, for pictures in [0, 1]. middle: the share of
    the middle square's side that is looked at. kernel: how to resize. blue_first: for networks that
    were trained on pictures as OpenCV reads them.
    """

    size: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    middle: float = 1.0
    kernel: str = "bicubic"
    blue_first: bool = False

    @staticmethod
    def of(folder: Path, size: int) -> Input:
        """From `preprocessor_config.json`, as `transformers` writes it, if it is there.

        size: where the file names none.

        Raises:
            BadFile: it is not JSON. Unsupported: numbers other than those in [0, 1] are wanted.
        """
        return Input.read(json_of(folder / PREPROCESSOR), size, str(folder))

    @staticmethod
    def read(config: Mapping[str, Any], size: int, where: str) -> Input:
        """From what that file says, as `of`. where: whose words they are, for messages."""
        factor = float(config.get("rescale_factor", 1 / 255))
        if config.get("do_rescale", True) and (
            abs(255 * factor - 1) > 1e-3 or config.get("rescale_offset")
        ):
            raise Unsupported(
                f"expected pictures in [0, 1] before they are normalised, but {where} asks for a "
                f"rescale_factor of {factor:g} or an offset; use another checkpoint"
            )
        whole = _side(config.get("size"))
        cut = _side(config.get("crop_size")) if config.get("do_center_crop", True) else None
        side = cut or whole or size
        middle = min(1.0, cut / whole) if cut and whole else 1.0
        if side < 384:  # where ConvNeXt's way to crop stops
            middle = float(config.get("crop_pct") or middle)
        plain = not config.get("do_normalize", True)
        return Input(
            size=side,
            mean=(0.0,) * 3 if plain else tuple(config.get("image_mean", (0.5, 0.5, 0.5))),
            std=(1.0,) * 3 if plain else tuple(config.get("image_std", (0.5, 0.5, 0.5))),
            middle=middle,
            kernel=KERNELS.get(config.get("resample", 3), "bicubic"),
            blue_first=bool(config.get("do_flip_channel_order", False)),
        )

    def prepare(self, pictures: Tensor) -> Tensor:
        """(n, 3, h, w) of any size, uint8 or in [0, 1] -> (n, 3, size, size), normalised.

        What is not square loses what lies outside its middle square.
        """
        x = as_floats(pictures)
        side = round(self.middle * min(x.shape[-2:]))
        top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
        x = x[..., top : top + side, left : left + side]
        if side != self.size:
            to = (self.size, self.size)
            smooth = self.kernel != "nearest"
            x = F.interpolate(x, size=to, mode=self.kernel, antialias=smooth).clamp(0, 1)
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return ((x.flip(1) if self.blue_first else x) - mean) / std


def _side(named: object) -> int | None:
    """A side in pixels from any of the ways in which one is written."""
    if isinstance(named, Mapping):
        named = named.get("height") or named.get("shortest_edge")
    return int(named) if isinstance(named, int | float) else None


def as_floats(pictures: Tensor) -> Tensor:
    """float32, on the CPU, in [0, 1], of uint8 or floats."""
    x = pictures.detach().to("cpu", torch.float32)
    return x / 255 if pictures.dtype == torch.uint8 else x


def batches(pictures: Tensor, size: int) -> Iterator[Tensor]:
    """Pictures, ``size`` at a time; none of none."""
    for i in range(0, len(pictures), size):
        yield pictures[i : i + size]


def folder_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the weights and JSON files in a folder, by name."""
    files = sorted(f for f in folder.iterdir() if f.suffix in (".safetensors", ".json"))
    return {file.name: sha256_file(file) for file in files}


def json_of(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no file. Raises BadFile."""
    if not path.exists():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise BadFile(f"expected a JSON object in {path}, got {type(value).__name__}")
    return value


def checkpoint(source: str | os.PathLike[str]) -> Path:
    """The folder of a checkpoint: one that is there, or an id on the hub, downloaded if need be.

    Only configurations, vocabularies and safetensors are fetched, and no code.

    Raises:
        BadFile: it is neither, or the hub cannot be reached.
    """
    folder, name = Path(source), str(source)
    if folder.is_dir():
        return folder
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        from huggingface_hub import snapshot_download

        try:
            with quietly():
                return Path(snapshot_download(name, allow_patterns=list(NEEDED)))
        except (OSError, ValueError) as error:
            said = str(error).rstrip(". \n")
            raise BadFile(
                f"expected a folder, or an id on the hub that can be reached, got {name!r}: {said}"
            ) from error
    raise BadFile(f"expected the folder of a checkpoint, or an id on the hub, got {name!r}")
