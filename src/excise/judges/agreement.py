"""Do judges that may err in different ways find the same rates?

They are to be asked about pictures of every origin by itself: judges that agree on renders may part
on what an attack brought back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch

from excise.errors import UserError
from excise.primitives.panel import Sheet
from excise.stats import Interval, Observations, difference_interval

POINTS = 0.03
"""Judges agree where their rates differ by no more."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two judges on one group of n pictures.

    difference: rate of `one` less rate of `other`, paired by picture. same: the share of pictures
    of which both say the same.
    """

    group: str
    label: str
    one: str
    other: str
    n: int
    rates: tuple[float, float]
    difference: Interval
    same: float

    def within(self, points: float = POINTS) -> bool:
        """Do the rates differ by no more than this? The interval is not asked."""
        return abs(self.difference.value) <= points

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {
            "group": self.group,
            "label": self.label,
            "one": self.one,
            "other": self.other,
            "n": self.n,
            "rates": list(self.rates),
            "difference": self.difference.value,
            "low": self.difference.low,
            "high": self.difference.high,
            "level": self.difference.level,
            "same": self.same,
        }


def agreement(
    sheets: Mapping[str, Sheet],
    label: str,
    groups: Sequence[str],
    clusters: Sequence[str] | None = None,
    *,
    level: float = 0.95,
) -> tuple[Pair, ...]:
    """Every pair of judges on every group of the same pictures, groups in order of appearance.

    sheets: by what a judge is called, all of the same n pictures; those without the label are left
        out. groups: of each picture, such as where it comes from. clusters: of each picture, such
        as its prompt; left out, pictures count as independent.

    Raises:
        UserError: the numbers of pictures differ.
    """
    n = len(groups)
    counts = {name: len(sheet) for name, sheet in sheets.items()}
    if any(count != n for count in counts.values()) or (clusters and len(clusters) != n):
        raise UserError(
            f"expected the same {n} pictures for every judge, got {counts}; ask all of them about "
            "the same pictures"
        )
    shown = {
        name: sheet.shown(label).float() for name, sheet in sheets.items() if label in sheet.labels
    }
    found = []
    for group in dict.fromkeys(groups):
        rows = [i for i, name in enumerate(groups) if name == group]
        if len(rows) < 2:
            continue
        unit = [clusters[i] if clusters else str(i) for i in rows]
        if len(set(unit)) < 2:  # one prompt: its pictures are all there is
            unit = [str(i) for i in rows]
        for one, other in combinations(shown, 2):
            a, b = (shown[name][torch.tensor(rows)] for name in (one, other))
            data = Observations.of((a - b).numpy(), {"cluster": unit})
            found.append(
                Pair(
                    group=group,
                    label=label,
                    one=one,
                    other=other,
                    n=len(rows),
                    rates=(float(a.mean()), float(b.mean())),
                    difference=difference_interval(data, level),
                    same=float((a == b).float().mean()),
                )
            )
    return tuple(found)
