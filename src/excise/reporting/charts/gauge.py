"""One figure among its references, on a line from nothing to all."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from excise.reporting.charts.svg import Axis, Mark, Series, box, frame, line, marker

WIDTH, HEIGHT = 280.0, 34.0


def gauge(
    name: str, title: str, text: str, marks: Sequence[tuple[Series, Mark]], focus: str
) -> Markup:
    """The line of a card. focus: the key of the figure that the card is about, drawn last."""
    axis, y = Axis(), 17.0
    left, right = 8.0, WIDTH - 8.0
    parts: list[Markup] = [box(left - 6, y - 3, right - left + 12, 6, "track", 3)]
    for series, mark in sorted(marks, key=lambda pair: pair[0].key == focus):
        x = axis.place(mark.value, left, right)
        large = series.key == focus
        if large and mark.low is not None and mark.high is not None:
            ends = axis.place(mark.low, left, right), axis.place(mark.high, left, right)
            parts.append(box(ends[0], y - 3, max(ends[1] - ends[0], 2), 6, f"bar {series.css}", 3))
        elif not large:
            parts.append(line(x, y - 9, x, y + 9, f"whisker {series.css}"))
        parts.append(marker(series.shape, x, y, series.css, mark.said, 7.5 if large else 5))
    return frame(name, title, text, WIDTH, HEIGHT, parts)
