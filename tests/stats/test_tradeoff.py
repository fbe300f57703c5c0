from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from excise.stats import area, envelope, tradeoff

SHARE = st.floats(0, 1)
POINT = st.tuples(SHARE, SHARE)
CURVE = st.lists(POINT, min_size=1, max_size=8)


def height(points: list[tuple[float, float]], excess: float) -> float:
    """What the staircase stands for, said plainly."""
    return max((kept for at, kept in points if at <= excess), default=0.0)


@given(CURVE, SHARE)
def test_the_envelope_is_the_most_that_is_kept_at_no_more_excess(
    points: list[tuple[float, float]], excess: float
) -> None:
    corners = list(envelope(points))
    assert height(corners, excess) == height(points, excess)
    assert corners == sorted(corners)
    kept = [one for _, one in corners]
    assert kept == sorted(set(kept))


@given(CURVE, POINT)
def test_another_setting_never_lowers_an_area_and_one_that_is_beaten_changes_nothing(
    points: list[tuple[float, float]], more: tuple[float, float]
) -> None:
    low = min(excess for excess, _ in points)
    assume(low < 0.9)
    before = area(points, low, 1.0)
    assert 0 <= before <= 1
    assert area([*points, more], low, 1.0) >= before - 1e-12
    excess, kept = points[0]
    worse = (min(excess + more[0], 1.0), kept * more[1])
    assert area([*points, worse], low, 1.0) == pytest.approx(before)


@given(CURVE)
def test_the_area_is_the_mean_height(points: list[tuple[float, float]]) -> None:
    low = min(excess for excess, _ in points)
    assume(low < 0.9)
    n = 400
    step = (1 - low) / n
    mean = sum(height(points, low + (i + 0.5) * step) for i in range(n)) / n
    assert area(points, low, 1.0) == pytest.approx(mean, abs=len(points) / n)


@given(st.lists(CURVE, min_size=1, max_size=3))
def test_curves_are_compared_where_all_of_them_are(curves: list[list[tuple[float, float]]]) -> None:
    named = {str(i): points for i, points in enumerate(curves)}
    low = max(min(e for e, _ in points) for points in curves)
    high = min(max(e for e, _ in points) for points in curves)
    if low >= high:
        with pytest.raises(ValueError, match="in common"):
            tradeoff(named)
        return
    found = tradeoff(named)
    assert (found.low, found.high) == (low, high)
    for name, points in named.items():
        assert found.areas[name] == area(points, low, high)
        alone = tradeoff({**named, "again": points})
        assert alone.areas["again"] == alone.areas[name] == found.areas[name]


def test_an_edit_that_keeps_all_has_one_and_a_better_curve_more() -> None:
    good, bad = [(0.0, 1.0), (0.5, 1.0)], [(0.0, 0.2), (0.25, 0.6), (0.5, 0.9)]
    found = tradeoff({"good": good, "bad": bad})
    assert found.areas["good"] == 1
    assert found.areas["bad"] == pytest.approx((0.2 + 0.6) / 2)


def test_no_merit_beyond_the_oracle_and_the_base() -> None:
    assert envelope([(-0.2, 1.3), (0.4, 0.5)]) == ((0.0, 1.0),)
    assert area([(-0.2, 1.3)], 0.0, 0.5) == 1


def test_what_cannot_be_compared_is_refused() -> None:
    for curves in ({}, {"a": []}, {"a": [(0.1, float("nan"))]}, {"a": [(0.1, 0.5)]}):
        with pytest.raises(ValueError, match="expected"):
            tradeoff(curves)
    with pytest.raises(ValueError, match="weaker ones"):
        tradeoff({"a": [(0.0, 1.0), (0.1, 1.0)], "b": [(0.2, 1.0), (0.9, 1.0)]})
    with pytest.raises(ValueError, match="reaches an excess"):
        area([(0.5, 1.0)], 0.2, 0.9)
