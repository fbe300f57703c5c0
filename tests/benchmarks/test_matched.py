"""Lines of several strengths are read at equal excess, from the unedited model on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plots
import pytest
from matched import Point, areas, crossing, lines, matched_table


def row(maker: str, alpha: float, edit: float, kept: float, concept: str = "cat") -> dict[str, Any]:
    arms = {"base": 0.95, "edit": edit, "oracle": 0.05}
    return {"concept": concept, "maker": maker, "alpha": alpha, "kept": kept, "rungs": {"t4": arms}}


ROWS = [
    row("plain", 2.0, 0.05, 0.80), row("plain", 1.0, 0.55, 0.90),
    row("shuffled", 1.0, 0.93, 0.99), row("shuffled", 2.0, 0.94, 0.70),
    row("part", 1.0, 0.45, 0.96), row("part", 2.0, 0.05, 0.94),
]  # fmt: skip


def test_a_line_begins_at_the_unedited_model() -> None:
    found = lines(ROWS)
    assert list(found) == ["plain", "shuffled", "part"]
    assert [point.alpha for point in found["plain"]] == [0, 1, 2]
    start = found["plain"][0]
    assert (start.excess, start.kept) == (pytest.approx(0.9), 1.0)


def test_what_is_kept_is_read_between_two_strengths() -> None:
    points = lines(ROWS)["plain"]
    half = crossing(points, 0.5)
    assert half is not None
    assert half.alpha == pytest.approx(1.0)
    assert half.kept == pytest.approx(0.90)
    quarter = crossing(points, 0.25)
    assert quarter is not None
    assert (quarter.alpha, quarter.kept) == (pytest.approx(1.5), pytest.approx(0.85))


def test_an_excess_that_comes_back_has_not_been_reached_before() -> None:
    points = [Point(alpha=a, excess=e, kept=1 - a / 10) for a, e in
              ((0.0, 0.9), (1.0, 0.2), (2.0, 0.4), (3.0, 0.2))]  # fmt: skip
    found = crossing(points, 0.3)
    assert found is not None
    assert found.alpha == pytest.approx(2.5)
    assert crossing(points, 0.1) is None
    assert crossing(points, 0.95) is points[0]


def test_the_area_is_over_what_erases_at_all() -> None:
    found = areas(lines(ROWS))
    assert found is not None
    assert set(found.areas) == {"plain", "part"}
    assert found.areas["part"] > found.areas["plain"]
    assert areas({"plain": lines(ROWS)["plain"]}) is None


def test_the_table_says_what_is_not_reached() -> None:
    text = matched_table([*ROWS, {"concept": "cat", "maker": "plain", "alpha": 4.0, "why": "no"}])
    (plain,) = (line for line in text.splitlines() if line.startswith("| cat | plain |"))
    assert "| 90.0 (1.00) |" in plain
    (shuffled,) = (line for line in text.splitlines() if line.startswith("| cat | shuffled |"))
    assert shuffled.count("not reached") == 3
    assert shuffled.endswith("| – |")


def test_the_excess_is_drawn(tmp_path: Path) -> None:
    plots.over_oracle([*ROWS, *(row("plain", a, 0.3, 0.9, "sketch") for a in (1.0, 2.0))],
                      tmp_path / "parts.svg")  # fmt: skip
    assert (tmp_path / "parts.svg").stat().st_size > 1000
