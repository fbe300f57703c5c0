"""One number for curves of what is kept against what is left of the concept.

It orders edits where their curves cross; it does not say which class was lost, nor how sure any of
it is, so it stands beside the table and never in its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]
"""(excess, kept): of one setting of an edit, such as a strength."""


@dataclass(frozen=True, kw_only=True)
class Tradeoff:
    """Areas by curve, in [0, 1], over the range of excess from `low` to `high` that all reach."""

    areas: Mapping[str, float]
    low: float
    high: float


def envelope(points: Sequence[Point]) -> tuple[Point, ...]:
    """The corners of the staircase of what at most is kept at no more than some excess.

    Only settings that were measured count: nothing is interpolated between them, so a setting that
    another one beats in both changes nothing, and a further one never lowers the staircase. An
    excess under 0 counts as 0, and what is kept counts within [0, 1]: neither is a merit.

    Raises:
        ValueError: no points, or numbers that are not finite.
    """
    if not points or not all(math.isfinite(x) for point in points for x in point):
        raise ValueError(f"expected one or more points of finite numbers, got {list(points)}")
    corners: list[Point] = []
    clipped = [(max(excess, 0.0), min(max(kept, 0.0), 1.0)) for excess, kept in points]
    for excess, kept in sorted(clipped, key=lambda point: (point[0], -point[1])):
        if not corners or kept > corners[-1][1]:
            corners.append((excess, kept))
    return tuple(corners)


def area(points: Sequence[Point], low: float, high: float) -> float:
    """The mean height of the staircase between two excesses, in [0, 1].

    Raises:
        ValueError: as `envelope`; not low < high; or the curve begins above `low`.
    """
    corners = envelope(points)
    if not low < high:
        raise ValueError(f"expected low < high, got {low:g} and {high:g}")
    if corners[0][0] > low:
        raise ValueError(
            f"expected a curve that reaches an excess of {low:g}, got one that begins at "
            f"{corners[0][0]:g}"
        )
    total = 0.0
    for i, (excess, kept) in enumerate(corners):
        end = corners[i + 1][0] if i + 1 < len(corners) else high
        total += kept * max(0.0, min(end, high) - max(excess, low))
    return min(1.0, total / (high - low))


def tradeoff(curves: Mapping[str, Sequence[Point]]) -> Tradeoff:
    """The areas of several curves over the excesses that all of them span.

    A finer grid of settings can only raise a curve, so compare curves with as many points each.

    Raises:
        ValueError: no curves; as `envelope`; or they have no range of excess in common.
    """
    if not curves:
        raise ValueError("expected one or more curves, got none")
    corners = {name: envelope(points) for name, points in curves.items()}
    low = max(points[0][0] for points in corners.values())
    high = min(max(max(e, 0.0) for e, _ in points) for points in curves.values())
    if not low < high:
        spans = {
            name: f"{corners[name][0][0]:g} to {max(max(e, 0.0) for e, _ in points):g}"
            for name, points in curves.items()
        }
        raise ValueError(
            f"expected curves with a range of excess in common, got {spans}; add settings, weaker "
            "ones of the edits that leave less and stronger ones of those that leave more"
        )
    areas = {name: area(points, low, high) for name, points in curves.items()}
    return Tradeoff(areas=areas, low=low, high=high)
