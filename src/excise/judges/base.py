"""What judges of several labels share: one score out of many, thresholds, identity."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from excise.errors import BadFile
from excise.primitives.panel import NOTHING, Panel, label_of
from excise.primitives.vision import json_of
from excise.store import Json, hash_json
from excise.types import Concept, Score

__all__ = ["Labelled", "Panel", "read_thresholds", "thresholds_at"]

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

    @property
    def false_alarms(self) -> Mapping[str, float]:
        """Label to the share of pictures without it that pass its threshold, where measured."""
        return {}

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


def read_false_alarms(folder: Path, thresholds: Mapping[str, float]) -> dict[str, float]:
    """Label to false alarms from `quality.json`, of labels whose threshold is the one measured.

    Whatever else is in a file of that name is somebody else's, and says nothing here.
    """
    path = folder / "quality.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError):
        return {}
    found: dict[str, float] = {}
    for label, row in rows.items() if isinstance(rows, dict) else ():
        if not isinstance(row, dict) or label not in thresholds:
            continue
        share = row.get("false_alarms")
        if row.get("threshold") != thresholds[label] or not isinstance(share, int | float):
            continue
        if 0 <= share <= 1:
            found[label] = float(share)
    return found


def read_thresholds(folder: Path, labels: Sequence[str], default: float = 0.5) -> dict[str, float]:
    """Label to threshold from `thresholds.json`, the default where it has none.

    Raises:
        BadFile: the file is not a JSON object of numbers.
    """
    fixed = json_of(folder / "thresholds.json")
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
