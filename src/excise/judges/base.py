"""What judges of several labels share: one score out of many, input, thresholds, identity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadFile
from excise.primitives.panel import NOTHING, Panel, label_of
from excise.store import Json, hash_json, read_json, sha256_file
from excise.types import Concept, Score

__all__ = [
    "Input",
    "Labelled",
    "Panel",
    "as_floats",
    "batches",
    "folder_hashes",
    "read_thresholds",
    "thresholds_at",
]

FALSE_ALARMS = 0.005
"""The share of pictures without a label that its threshold may let pass."""


class Labelled(ABC):
    """A judge that scores all of its labels at once; see `Panel` for what a subclass gives."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def title(self) -> str:
        """What scores made by it are called."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """What it can tell, in the order of the scores' columns."""

    @property
    @abstractmethod
    def thresholds(self) -> Mapping[str, float]:
        """Label to threshold."""

    @property
    @abstractmethod
    def sources(self) -> Json:
        """What its answers depend on, as JSON values: settings, and hashes of files."""

    @abstractmethod
    def scores(self, pictures: Tensor) -> Tensor:
        """float32 (n, labels), of uint8 (n, 3, h, w) or floats in [0, 1]."""

    @property
    def things(self) -> tuple[str, ...]:
        """What comes before "nothing" in the list of labels; all of them if that is not in it."""
        labels = self.labels
        return labels[: labels.index(NOTHING)] if NOTHING in labels else labels

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what its answers depend on: a part of the key of whatever is kept of them."""
        return hash_json(self.sources)

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        """One score a picture.

        Raises:
            UnknownName: no label is called as the concept or one of its synonyms.
        """
        asked = concept if isinstance(concept, Concept) else Concept(concept)
        label = label_of(self, asked)
        values = self.scores(pictures)[:, self.labels.index(label)]
        threshold = self.thresholds[label]
        return Score(concept=label, judge=self.title, values=values, threshold=threshold)


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a network wants its pictures to look like.

    size: of a side, in pixels. mean, std: by channel, for pictures in [0, 1].
    """

    size: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @staticmethod
    def of(folder: Path, size: int) -> Input:
        """From `preprocessor_config.json`, as `transformers` writes it, if it is there.

        size: where the file names none. Raises BadFile if it is not JSON.
        """
        config = _json(folder / "preprocessor_config.json")
        for key in ("crop_size", "size"):
            named = config.get(key)
            if isinstance(named, dict) and "height" in named:
                size = int(named["height"])
                break
        return Input(
            size=size,
            mean=tuple(config.get("image_mean", (0.5, 0.5, 0.5))),
            std=tuple(config.get("image_std", (0.5, 0.5, 0.5))),
        )

    def prepare(self, pictures: Tensor) -> Tensor:
        """(n, 3, h, w) of any size, uint8 or in [0, 1] -> (n, 3, size, size), normalised.

        What is not square loses what lies outside its middle square.
        """
        x = as_floats(pictures)
        side = min(x.shape[-2:])
        top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
        x = x[..., top : top + side, left : left + side]
        if side != self.size:
            to = (self.size, self.size)
            x = F.interpolate(x, size=to, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return (x - mean) / std


def as_floats(pictures: Tensor) -> Tensor:
    """float32, on the CPU, in [0, 1], of uint8 or floats."""
    x = pictures.detach().to("cpu", torch.float32)
    return x / 255 if pictures.dtype == torch.uint8 else x


def batches(pictures: Tensor, size: int) -> Iterator[Tensor]:
    """Pictures, ``size`` at a time; none of none."""
    for i in range(0, len(pictures), size):
        yield pictures[i : i + size]


def read_thresholds(folder: Path, labels: Sequence[str], default: float = 0.5) -> dict[str, float]:
    """Label to threshold from `thresholds.json`, the default where it has none.

    Raises:
        BadFile: the file is not a JSON object of numbers.
    """
    fixed = _json(folder / "thresholds.json")
    try:
        return {label: float(fixed.get(label, default)) for label in labels}
    except (TypeError, ValueError) as error:
        raise BadFile(
            f"expected a number for every label in {folder / 'thresholds.json'}: {error}"
        ) from error


def thresholds_at(
    values: Tensor,
    absent: Tensor,
    labels: Sequence[str],
    *,
    false_alarms: float = FALSE_ALARMS,
    least: float = 0.5,
) -> dict[str, float]:
    """Thresholds that let at most a share of the pictures pass that do not show the label.

    values: (n, L). absent: bool (n, L), where a label is known not to be shown. least: no
    threshold is lower, and it is that of a label without pictures to tell.
    """
    found = {}
    for i, label in enumerate(labels):
        without = values[absent[:, i], i].sort().values
        cut = least
        if len(without):
            # The highest score that has to stay out, and a hair above it.
            out = without[max(len(without) - int(false_alarms * len(without)) - 1, 0)]
            cut = max(least, float(out) + 1e-4)
        found[label] = round(cut, 4)
    return found


def folder_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the weights and JSON files in a folder, by name."""
    files = sorted(f for f in folder.iterdir() if f.suffix in (".safetensors", ".json"))
    return {file.name: sha256_file(file) for file in files}


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise BadFile(f"expected a JSON object in {path}, got {type(value).__name__}")
    return value
