"""Rows of values with their intervals, one below the other, or bars in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from excise.reporting.charts.svg import (
    NARROW,
    WIDE,
    Axis,
    Chart,
    Line,
    Mark,
    Series,
    box,
    frame,
    label,
    line,
    marker,
)

LANE, GAP, FOOT = 13.0, 13.0, 30.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row: by series, its mark. right: a short text at the end of the row. strong: stands out."""

    label: str
    marks: Mapping[str, Mark]
    right: str = ""
    strong: bool = False


def forest(
    name: str,
    title: str,
    text: str,
    rows: Sequence[Row],
    series: Sequence[Series],
    axis: Axis,
    *,
    lines: Sequence[Line] = (),
    bars: bool = False,
    right: str = "",
) -> Chart:
    """A chart of rows.

    name: unique on the page; text: what one who cannot see it is told. right: what the texts at
    the ends of the rows are.
    """
    used = tuple(one for one in series if any(one.key in row.marks for row in rows))
    wide, narrow = (
        frame(
            f"{name}-{suffix}",
            title,
            text,
            width,
            *_draw(rows, used, axis, lines, bars, right, width),
        )
        for suffix, width in (("w", WIDE), ("n", NARROW))
    )
    return Chart(title=title, series=used, wide=wide, narrow=narrow)


def _draw(
    rows: Sequence[Row],
    series: Sequence[Series],
    axis: Axis,
    lines: Sequence[Line],
    bars: bool,
    head_right: str,
    width: float,
) -> tuple[float, list[Markup]]:
    """The height and the parts. On a phone, names stand above their row."""
    above = width < WIDE
    right = 84 if any(row.right for row in rows) and not above else 26
    left = 14.0 if above else 232.0
    stop = width - right
    lane = LANE if len(series) > 1 else LANE + 3
    head = 20.0 if above else 0.0
    tall = [head + lane * sum(one.key in row.marks for one in series) + GAP for row in rows]
    top = 22.0 if head_right or any(mark.label for mark in lines) else 8.0
    bottom = top + sum(tall)
    parts: list[Markup] = []
    for tick in axis.thinned(5 if above else 12):
        x = axis.place(tick, left, stop)
        parts.append(line(x, top, x, bottom, "zero" if tick == 0 else "grid"))
        parts.append(label(x, bottom + 17, axis.text(tick), "tick", "middle"))
    for mark in lines:
        x = axis.place(mark.at, left, stop)
        parts.append(line(x, top - 4, x, bottom, "limit"))
        near_end = x > left + 0.7 * (stop - left)
        near_start = x < left + 0.2 * (stop - left)
        anchor = "end" if near_end else "start" if near_start else "middle"
        parts.append(label(x, top - 9, mark.label, "note", anchor))
    parts.append(label(width, top - 9, head_right, "note", "end"))
    y = top
    for i, (row, height) in enumerate(zip(rows, tall, strict=True)):
        if i:
            parts.append(line(0, y, width, y, "rule"))
        css = "name strong" if row.strong else "name"
        if above:
            parts.append(label(0, y + 18, _short(row.label, 34), css))
            parts.append(label(width, y + 18, row.right, "value", "end"))
        else:
            parts.append(label(0, y + height / 2 + 4.5, _short(row.label), css))
            parts.append(label(width, y + height / 2 + 4.5, row.right, "value", "end"))
        lane_y = y + head + GAP / 2 + lane / 2
        for one in series:
            if one.key in row.marks:
                parts += _mark(one, row.marks[one.key], axis, left, stop, lane_y, bars)
                lane_y += lane
        y += height
    foot = FOOT
    if axis.label:
        parts.append(label((left + stop) / 2, bottom + 35, axis.label, "note", "middle"))
        foot += 16
    return bottom + foot, parts


def _mark(
    one: Series, mark: Mark, axis: Axis, left: float, stop: float, y: float, bars: bool
) -> list[Markup]:
    x = axis.place(mark.value, left, stop)
    parts = []
    if bars:
        start = axis.place(0, left, stop)
        parts.append(box(min(start, x), y - 4.5, abs(x - start), 9, f"bar {one.css}", 2))
    if mark.low is not None and mark.high is not None:
        ends = axis.place(mark.low, left, stop), axis.place(mark.high, left, stop)
        parts.append(line(ends[0], y, ends[1], y, f"whisker {one.css}"))
    if not bars:
        parts.append(marker(one.shape, x, y, one.css, mark.said))
    elif mark.said:
        parts.append(Markup("<g><title>{}</title>{}</g>").format(mark.said, parts.pop(0)))
    return parts


def _short(text: str, most: int = 32) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
