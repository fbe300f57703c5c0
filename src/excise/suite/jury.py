"""Several judges in one reading, so that all of them see the same pictures, whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from excise.primitives.panel import Panel, Sheet, label_of
from excise.store import hash_json
from excise.types import Concept, Score

BETWEEN = " says "


@dataclass(frozen=True, eq=False, kw_only=True)
class Jury:
    """A judge that counts, and others that are only compared with it.

    The columns of the first have their own names, those of the others are "title says label".
    """

    panels: tuple[Panel, ...]

    @property
    def name(self) -> str:
        """That of the judge that counts."""
        return self.panels[0].name

    @property
    def title(self) -> str:
        """That of the judge that counts."""
        return self.panels[0].title

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Of the first, then of the others."""
        first, *others = self.panels
        return (*first.labels, *(f"{p.title}{BETWEEN}{x}" for p in others for x in p.labels))

    @property
    def things(self) -> tuple[str, ...]:
        """Those of the judge that counts."""
        return self.panels[0].things

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By column."""
        cuts = [float(p.thresholds[label]) for p in self.panels for label in p.labels]
        return dict(zip(self.labels, cuts, strict=True))

    @cached_property
    def digest(self) -> str | None:
        """That of all of them; None if one of them has none."""
        parts = [getattr(panel, "digest", None) for panel in self.panels]
        return None if None in parts else hash_json([str(part) for part in parts])

    def scores(self, pictures: Tensor) -> Tensor:
        """float32 (n, labels)."""
        return torch.cat([panel.scores(pictures).float().cpu() for panel in self.panels], dim=1)

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        """What the judge that counts says."""
        return self.panels[0].score(pictures, concept)

    def apart(self, sheet: Sheet) -> dict[str, Sheet]:
        """By title, what each of them said."""
        found = {}
        start = 0
        for panel in self.panels:
            stop = start + len(panel.labels)
            found[panel.title] = Sheet(
                judge=panel.title,
                labels=tuple(panel.labels),
                things=tuple(panel.things),
                values=sheet.values[:, start:stop],
                thresholds=dict(panel.thresholds),
            )
            start = stop
        return found

    def able(self, concept: Concept) -> Jury:
        """Only those that can tell the concept; the first has to."""
        first, *others = self.panels
        telling = [p for p in others if set(concept.names) & set(p.labels)]
        label_of(first, concept)
        return replace(self, panels=(first, *telling))
