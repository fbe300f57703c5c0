"""Ways to make a vector, compared at equal erasure: along the line of each, not at one strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mdtable import table
from plots import excess

from excise.stats import Tradeoff, tradeoff

Row = Mapping[str, Any]
LEVELS = (0.5, 0.3, 0.1)
"""Of the excess over the oracle at which what is kept is read off."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A strength, the excess over the oracle that a search reaches there, and what is kept."""

    alpha: float
    excess: float
    kept: float


def lines(rows: Sequence[Row]) -> dict[str, list[Point]]:
    """By maker, one concept's points in the order of their strengths.

    All of them begin at strength 0, the unedited model, of which everything is kept.
    """
    found: dict[str, list[Point]] = {}
    for row in sorted(rows, key=lambda row: float(row["alpha"])):
        start = Point(alpha=0.0, excess=excess(row, "base"), kept=1.0)
        own = Point(alpha=row["alpha"], excess=excess(row), kept=row["kept"])
        found.setdefault(str(row["maker"]), [start]).append(own)
    return {name: found[name] for name in dict.fromkeys(str(row["maker"]) for row in rows)}


def crossing(points: Sequence[Point], level: float) -> Point | None:
    """Where the excess falls to a level and stays there, between two strengths on a straight line.

    None where the last strength has not reached it.
    """
    if points[-1].excess > level:
        return None
    for before, after in reversed(list(pairwise(points))):
        if before.excess > level:
            share = (before.excess - level) / (before.excess - after.excess)
            return Point(
                alpha=before.alpha + share * (after.alpha - before.alpha),
                excess=level,
                kept=before.kept + share * (after.kept - before.kept),
            )
    return points[0]


def areas(found: Mapping[str, Sequence[Point]]) -> Tradeoff | None:
    """One number a line, over the excesses that are reached by all that get to the first level.

    See `excise.stats.tradeoff`. None where fewer than two get there, or they share no range.
    """
    able = {name: [(p.excess, p.kept) for p in own]
            for name, own in found.items() if min(p.excess for p in own) <= LEVELS[0]}  # fmt: skip
    try:
        return tradeoff(able) if len(able) > 1 else None
    except ValueError:
        return None


def matched_table(rows: Sequence[Row]) -> str:
    """Markdown: a row a concept and maker, a column a level, and the area beside them."""
    head = ["concept", "vector", *(f"at {100 * level:.0f} points" for level in LEVELS), "area"]
    cells, ranges = [], []
    rows = [row for row in rows if "why" not in row]
    for concept in dict.fromkeys(str(row["concept"]) for row in rows):
        found = lines([row for row in rows if row["concept"] == concept])
        area = areas(found)
        if area is not None:
            ranges.append(f"`{concept}` {100 * area.low:.0f} to {100 * area.high:.0f}")
        for name, points in found.items():
            read = [_read(crossing(points, level)) for level in LEVELS]
            own = None if area is None else area.areas.get(name)
            cells.append([concept, name, *read, "–" if own is None else f"{own:.3f}"])
    said = f"of {' and '.join(ranges)} points" if ranges else "that all have in common: none"
    return (
        "At matched excess: what is kept, in percent, and in brackets the strength, where the "
        "excess over the oracle has fallen to a level and stays there; between two strengths on a "
        "straight line, from the unedited model on. *Area*: the mean of what is kept over excesses "
        f"{said}, from the points that were measured alone; it hides what was lost, and stands for "
        f"nothing that the columns before it do not say. Not given for vectors that stay above "
        f"{100 * LEVELS[0]:.0f} points.\n\n" + table(head, cells)
    )


def _read(point: Point | None) -> str:
    return "not reached" if point is None else f"{100 * point.kept:.1f} ({point.alpha:.2f})"
