"""What judges say of the same pictures for many labels at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from excise.errors import unknown
from excise.types import Concept, Judge, Score

NOTHING = "nothing"
"""What a picture shows in which a judge recognises none of its things."""


class Panel(Judge, Protocol):
    """A judge that reads a picture once for all of its labels."""

    @property
    def title(self) -> str:
        """What it is called beside other judges of the same class."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can tell, in the order of the scores' columns."""

    @property
    def things(self) -> tuple[str, ...]:
        """Those labels of which a picture shows one or two; the others are styles and marks."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By label: a picture shows it where its score reaches this; fixed beforehand."""

    def scores(self, pictures: Tensor) -> Tensor:
        """float32 (n, labels), on the CPU, of uint8 (n, 3, h, w) or floats in [0, 1]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sheet:
    """One judge's scores of n pictures.

    values: float32 (n, L), on the CPU. thresholds: by label. things: as `Panel.things`.
    """

    judge: str
    labels: tuple[str, ...]
    things: tuple[str, ...]
    values: Tensor
    thresholds: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.values)

    def column(self, label: str) -> int:
        """The number of a label's column. Raises UnknownName."""
        if label not in self.labels:
            raise unknown(f"label of the judge {self.judge}", label, self.labels)
        return self.labels.index(label)

    def score(self, label: str) -> Score:
        """The scores of one label. Raises UnknownName."""
        values = self.values[:, self.column(label)]
        return Score(
            concept=label, judge=self.judge, values=values, threshold=self.thresholds[label]
        )

    def shown(self, label: str) -> Tensor:
        """Bool (n,): does the picture show it? Raises UnknownName."""
        return self.score(label).shown

    def hits(self, wanted: Sequence[str]) -> Tensor:
        """Bool (n,): does each picture show its own label? Raises UnknownName."""
        columns = torch.tensor([self.column(label) for label in wanted], dtype=torch.int64)
        cuts = torch.tensor([self.thresholds[label] for label in wanted])
        return self.values.gather(1, columns[:, None])[:, 0] >= cuts

    def strongest(self, among: Sequence[str]) -> tuple[str, ...]:
        """Of each picture the label with the largest score among those that it shows.

        "nothing" competes where the judge has that label; it is also the answer if none is shown.
        """
        names = [label for label in self.labels if label in {*among, NOTHING}]
        if not names or not len(self):
            return (NOTHING,) * len(self)
        values = torch.stack([self.values[:, self.column(name)] for name in names], dim=1)
        cuts = torch.tensor([self.thresholds[name] for name in names])
        best = values.masked_fill(values < cuts, -torch.inf).max(dim=1)  # (n, names) -> (n,)
        return tuple(
            NOTHING if value == -torch.inf else names[i]
            for value, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        )

    @property
    def drawn(self) -> tuple[str, ...]:
        """What each picture shows first: a thing, or "nothing" recognisable."""
        return self.strongest(self.things)

    @property
    def nothing(self) -> Tensor:
        """Bool (n,): is nothing recognisable?"""
        return torch.tensor([name == NOTHING for name in self.drawn], dtype=torch.bool)

    def at(self, thresholds: Mapping[str, float]) -> Sheet:
        """The same scores under other thresholds; those that are not named stay."""
        for label in thresholds:
            self.column(label)
        return replace(self, thresholds={**self.thresholds, **thresholds})

    def take(self, rows: Sequence[int]) -> Sheet:
        """Some of the pictures."""
        return replace(self, values=self.values[torch.tensor(list(rows), dtype=torch.int64)])

    @staticmethod
    def cat(sheets: Sequence[Sheet]) -> Sheet:
        """The pictures of several sheets of one judge, in order."""
        return replace(sheets[0], values=torch.cat([sheet.values for sheet in sheets]))

    def record(self) -> dict[str, Any]:
        """All but the scores, as JSON values."""
        return {
            "judge": self.judge,
            "labels": list(self.labels),
            "things": list(self.things),
            "thresholds": {label: float(self.thresholds[label]) for label in self.labels},
        }

    @staticmethod
    def of(values: Tensor, record: Mapping[str, Any]) -> Sheet:
        """From scores and a record that were kept."""
        return Sheet(
            judge=record["judge"],
            labels=tuple(record["labels"]),
            things=tuple(record["things"]),
            values=values,
            thresholds=dict(record["thresholds"]),
        )


def title(judge: Judge) -> str:
    """What a judge is called in a report."""
    return str(getattr(judge, "title", judge.name))


def labels_of(judge: Judge | None) -> tuple[str, ...] | None:
    """The labels of a panel; None for a judge that may be asked for anything."""
    return None if judge is None else getattr(judge, "labels", None)


def label_of(judge: Judge | None, concept: Concept) -> str:
    """The label by which a judge knows a concept: its name, or a synonym.

    Raises:
        UnknownName: the judge has labels, and none of them is a name of the concept.
    """
    labels = labels_of(judge)
    if judge is None or labels is None:
        return concept.name
    found = next((name for name in concept.names if name in labels), None)
    if found is None:
        raise unknown(f"label of the judge {title(judge)}", concept.name, labels)
    return found


def read(judge: Judge | None, pictures: Tensor, labels: Sequence[str] = ()) -> Sheet:
    """What a judge says of pictures: a panel of all its labels, another judge of these labels.

    labels: for a judge that is no panel; it is asked once for each, and each counts as a thing.
    Without a judge the sheet has no columns.

    pictures: uint8 (n, 3, h, w), or floats in [0, 1].
    """
    if judge is None:
        empty = torch.empty(len(pictures), 0)
        return Sheet(judge="", labels=(), things=(), values=empty, thresholds={})
    own = labels_of(judge)
    if own is not None:
        panel: Any = judge
        return Sheet(
            judge=title(judge),
            labels=tuple(own),
            things=tuple(getattr(panel, "things", own)),
            values=panel.scores(pictures).float().cpu(),
            thresholds=dict(panel.thresholds),
        )
    asked = tuple(dict.fromkeys(labels))
    answers = [judge.score(pictures, label) for label in asked]
    columns = [answer.values.float().cpu() for answer in answers]
    return Sheet(
        judge=title(judge),
        labels=asked,
        things=asked,
        values=torch.stack(columns, dim=1) if columns else torch.empty(len(pictures), 0),
        thresholds={label: answer.threshold for label, answer in zip(asked, answers, strict=True)},
    )
