"""A judge without learning: the nearest render, by the correlation of edges.

What it may get wrong has nothing to do with what two trained classifiers may both get wrong, so its
agreement with them says something. It compares shapes: it knows no colours and no styles, and of a
picture of two objects it reads the one that fits best.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import cos, pi, sin
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadFile
from excise.judges.base import Labelled
from excise.primitives.vision import as_floats, batches
from excise.store import Json, load_tensors, sha256_file

BANK = Path(__file__).parents[1] / "assets" / "witness" / "bank.safetensors"
SIDE = 64  # pixels to which pictures are brought
DIRECTIONS = 4  # of edges, at 0, 45, 90 and 135 degrees
CELL = 2  # pixels a side
MARGIN = 1  # cells around a picture over which a render may reach
FORMAT = "excise.witness/1"


def edges(pictures: Tensor) -> Tensor:
    """How strong edges of each direction are in each cell: float32 (n, 4, 32, 32).

    Of the three colours the steepest counts, and light on dark is the same as dark on light. Each
    cell is divided by the mean over its surroundings, since a style may draw an outline in white
    and the inside in grey; the square root keeps single strong edges from deciding.

    pictures: (n, 3, h, w), uint8 or in [0, 1], of any size.
    """
    x = as_floats(pictures)
    if x.shape[-2:] != (SIDE, SIDE):
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    x = F.pad(x, (2, 2, 2, 2), mode="replicate").flatten(0, 1)[:, None]  # (n * 3, 1, 68, 68)
    soft = torch.tensor([0.25, 0.5, 0.25])
    sobel = torch.tensor([-0.5, 0.0, 0.5])[None] * soft[:, None]  # (3, 3), along x
    x = F.conv2d(x, (soft[:, None] * soft)[None, None])
    slope = F.conv2d(x, torch.stack([sobel, sobel.T])[:, None])  # (n * 3, 2, 64, 64)
    slope = slope.view(-1, 3, 2, SIDE, SIDE)
    steep = slope.square().sum(dim=2)  # (n, 3, 64, 64)
    colour = steep.argmax(dim=1, keepdim=True)[:, :, None].expand(-1, -1, 2, -1, -1)
    dx, dy = slope.gather(1, colour)[:, 0].unbind(dim=1)  # (n, 64, 64) each
    strength = (dx.square() + dy.square()).sqrt() + 1e-8
    across = (dx.square() - dy.square()) / strength  # strength * cos(2 angle)
    along = 2 * dx * dy / strength  # strength * sin(2 angle)
    angles = [2 * pi * i / DIRECTIONS for i in range(DIRECTIONS)]
    maps = torch.stack([(across * cos(a) + along * sin(a)).clamp_min(0) for a in angles], dim=1)
    cells = F.avg_pool2d(maps, CELL)  # (n, 4, 32, 32)
    total = cells.sum(dim=1, keepdim=True)
    around = F.avg_pool2d(total, 9, stride=1, padding=4, count_include_pad=False)
    floor = 0.3 * total.mean(dim=(2, 3), keepdim=True) + 1e-3
    found: Tensor = (cells / (around + floor)).sqrt()
    return found


def mirrored(maps: Tensor) -> Tensor:
    """The edges (n, 4, h, w) of mirrored pictures: 45 degrees become 135."""
    return maps.flip(-1)[:, [0, 3, 2, 1]]


def unit(templates: Tensor) -> Tensor:
    """Each of (n, 4, h, w) with mean 0 and norm 1."""
    centred = templates - templates.mean(dim=(1, 2, 3), keepdim=True)
    norm: Tensor = centred.flatten(1).norm(dim=1).clamp_min(1e-6)
    return centred / norm[:, None, None, None]


def correlations(maps: Tensor, templates: Tensor) -> Tensor:
    """The largest correlation of each template with a window of its size: (n, templates).

    maps: (n, 4, h, w). templates: (t, 4, h', w'), from `unit`. Pearson's r, in [-1, 1].
    """
    size = templates[:1].numel()
    ones = torch.ones_like(templates[:1])
    total, squares = F.conv2d(maps, ones), F.conv2d(maps.square(), ones)  # (n, 1, y, x)
    spread = (squares - total.square() / size).clamp_min(1e-4).sqrt()
    return (F.conv2d(maps, templates) / spread).flatten(2).amax(dim=2)  # (n, t, y, x) -> (n, t)


@dataclass(frozen=True, kw_only=True)
class Witness(Labelled):
    """Nearest neighbour among renders, by edges.

    A label's score is the best correlation of its renders less that of all other labels' renders,
    in [-2, 2]: above 0 where it is the nearest. Marks, which stand in one place whatever else a
    picture shows, do not compete; their score is their correlation there.

    bank: a file as `excise.emoji.witness_bank` makes it; left out, that of the embedded model.
    scales: of the renders, to look for. batch: pictures at a time.
    """

    name: ClassVar[str] = "witness"

    bank: str = str(BANK)
    scales: tuple[float, ...] = (0.92, 1.0, 1.08)
    batch: int = 32

    @property
    def title(self) -> str:
        """What scores made by it are called."""
        return self.name

    @cached_property
    def _bank(self) -> Bank:
        return Bank.load(Path(self.bank))

    @property
    def labels(self) -> tuple[str, ...]:
        """What the bank has renders of, sorted, then marks."""
        return (*self.things, *self._bank.marks)

    @property
    def things(self) -> tuple[str, ...]:
        """What the bank has renders of, sorted."""
        return tuple(sorted(set(self._bank.labels)))

    @property
    def thresholds(self) -> dict[str, float]:
        """Label to threshold, from the bank."""
        return {label: self._bank.thresholds.get(label, 0.0) for label in self.labels}

    @property
    def false_alarms(self) -> dict[str, float]:
        """Label to share, from the bank."""
        found = self._bank.quality.get("false_alarms")
        return dict(found) if isinstance(found, dict) else {}

    @property
    def sources(self) -> Json:
        """The settings, and the hash of the bank."""
        bank = sha256_file(Path(self.bank))
        return {"judge": self.name, "scales": list(self.scales), "bank": bank}

    @cached_property
    def _templates(self) -> tuple[Tensor, ...]:
        """By scale (2 renders, 4, h, w): as they are, then mirrored."""
        found = []
        for scale in self.scales:
            side = 2 * round(self._bank.renders.shape[-1] * scale / 2)
            sized = F.interpolate(self._bank.renders, size=(side, side), mode="bilinear")
            found.append(unit(torch.cat([sized, mirrored(sized)])))
        return tuple(found)

    def nearest(self, pictures: Tensor) -> Tensor:
        """The best correlation of each label's renders, float32 (n, things), in [-1, 1]."""
        things = self.things
        of = torch.tensor([things.index(label) for label in self._bank.labels] * 2)
        rows = [torch.empty(0, len(things))]
        for part in batches(pictures, self.batch):
            maps = F.pad(edges(part), (MARGIN,) * 4)
            best = torch.full((len(part), len(things)), -1.0)
            for templates in self._templates:
                found = correlations(maps, templates)  # (b, 2 renders)
                best.scatter_reduce_(1, of.expand(len(part), -1), found, "amax")
            rows.append(best)
        return torch.cat(rows)

    @torch.no_grad()
    def scores(self, pictures: Tensor) -> Tensor:
        """float32 (n, labels), of uint8 (n, 3, h, w) or floats in [0, 1]."""
        best = self.nearest(pictures)
        first, second = best.topk(2, dim=1).values.unbind(dim=1)
        rival = torch.where(best == first[:, None], second[:, None], first[:, None])
        marks = [torch.empty(0, len(self._bank.marks))]
        for part in batches(pictures, self.batch):
            maps = edges(part)
            found = [mark.correlation(maps) for mark in self._bank.marks.values()]
            marks.append(torch.stack(found, dim=1) if found else torch.empty(len(part), 0))
        return torch.cat([best - rival, torch.cat(marks)], dim=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Mark:
    """A stamp in one place: its edges (1, 4, h, w), and the cell of its upper left corner."""

    template: Tensor
    top: int
    left: int

    def correlation(self, maps: Tensor) -> Tensor:
        """With pictures' edges (n, 4, 32, 32), one cell off at most: (n,)."""
        height, width = self.template.shape[-2:]
        around = F.pad(maps, (1,) * 4)
        window = around[..., self.top : self.top + height + 2, self.left : self.left + width + 2]
        return correlations(window, unit(self.template))[:, 0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Bank:
    """What pictures are compared with.

    renders: float32 (n, 4, h, w), edges of upright renders. labels: one a render. marks: by label.
    thresholds: by label. quality: what was measured when the thresholds were fixed.
    """

    renders: Tensor
    labels: tuple[str, ...]
    marks: dict[str, Mark]
    thresholds: dict[str, float]
    quality: dict[str, object]

    @staticmethod
    def load(path: Path) -> Bank:
        """Read a bank. Raises BadFile."""
        tensors, meta = load_tensors(path)
        if not isinstance(meta, dict) or meta.get("format") != FORMAT:
            raise BadFile(f"expected a witness's bank in {path}, got other tensors; make it anew")
        marks = {
            label: Mark(template=tensors[f"mark/{label}"].float(), top=top, left=left)
            for label, (top, left) in meta["marks"].items()
        }
        return Bank(
            renders=tensors["renders"].float(),
            labels=tuple(meta["labels"]),
            marks=marks,
            thresholds=meta["thresholds"],
            quality=meta["quality"],
        )


def pack(renders: Tensor) -> Tensor:
    """Edges as uint8, each render by its own largest value: correlation does not see the scale."""
    top = renders.flatten(1).amax(dim=1).clamp_min(1e-6)[:, None, None, None]
    return (255 * renders / top).round().to(torch.uint8)
