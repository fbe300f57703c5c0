from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from excise.reporting.charts import Axis, Chart, Curve, Line, Mark, Row, Series, curves, forest
from excise.reporting.wording import number

ONE = Series(key="a", label="one <b>", css="s-edit")
TWO = Series(key="b", label="two", css="s-base", shape="square")
FINITE = st.floats(-1e6, 1e6)


@given(st.lists(FINITE, min_size=1, max_size=5))
def test_an_axis_holds_its_values_and_zero(values: list[float]) -> None:
    axis = Axis.around(values, number)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min([0.0, *values])
    assert max([0.0, *values]) <= axis.high + slack
    assert any(abs(tick) < slack for tick in axis.ticks)
    assert 2 <= len(axis.ticks) <= 15


@given(FINITE, FINITE)
def test_larger_values_stand_further_right(a: float, b: float) -> None:
    axis = Axis(low=-1e6, high=1e6)
    low, high = sorted((a, b))
    assert 10 <= axis.place(low, 10, 90) <= axis.place(high, 10, 90) <= 90


def chart(value: float, bars: bool = False) -> Chart:
    row = Row(label="<script>", marks={"a": Mark(value=value, low=0.1, high=0.9, said="it & that")})
    return forest("c", "title", "text", [row], (ONE, TWO), Axis(), lines=[Line(at=0.5, label="<")],
                  bars=bars)  # fmt: skip


@pytest.mark.parametrize("bars", [False, True])
def test_texts_are_escaped(bars: bool) -> None:
    for svg in (chart(0.5, bars).wide, chart(0.5, bars).narrow):
        assert "<script" not in svg
        assert "&lt;script&gt;" in svg
        assert "it &amp; that" in svg


def test_only_series_with_marks_are_in_the_legend() -> None:
    assert chart(0.5).series == (ONE,)


def test_a_mark_stands_where_its_value_is() -> None:
    def at(value: float) -> float:
        found = re.search(r'<circle cx="([\d.]+)"', chart(value).wide)
        assert found is not None
        return float(found[1])

    assert at(0) < at(0.25) < at(1)
    assert at(0.5) - at(0) == pytest.approx(at(1) - at(0.5), abs=0.2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_names_at_the_ends_of_lines_do_not_meet(values: list[float]) -> None:
    found = [
        Curve(series=Series(key=str(i), label=f"{i}", css="s"), x=(0.0, 1.0),
              marks=(Mark(value=0), Mark(value=value)))
        for i, value in enumerate(values)
    ]  # fmt: skip
    drawn = curves("c", "t", "d", found, Axis(), Axis())
    places = [float(y) for y in re.findall(r'y="([\d.-]+)" class="end', drawn.wide)]
    assert len(places) == len(values)
    gaps = [b - a for a, b in pairwise(sorted(places))]
    assert all(gap > 14.8 for gap in gaps)


@given(st.integers(2, 5), st.integers(1, 4))
def test_names_below_the_axis_do_not_meet(n: int, letters: int) -> None:
    ticks = tuple(float(i) for i in range(n))
    word = "m" * letters
    axis = Axis(low=-0.1, high=n - 0.9, ticks=ticks, text=lambda i: f"{round(i)} {word}")
    one = Curve(series=ONE, x=ticks, marks=tuple(Mark(value=0.5) for _ in ticks))
    svg = curves("c", "t", "d", [one], axis, Axis()).narrow
    pattern = r'<text x="([\d.-]+)" y="([\d.-]+)" class="tick" text-anchor="middle">(.*?)<'
    rows: dict[str, list[tuple[float, float]]] = {}
    for x, y, words in re.findall(pattern, svg):
        half = 3.2 * len(words)
        rows.setdefault(y, []).append((float(x) - half, float(x) + half))
    assert rows
    for spans in rows.values():
        assert all(a[1] < b[0] for a, b in pairwise(sorted(spans)))
