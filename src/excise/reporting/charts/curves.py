"""Lines over a common axis, with their intervals, and a span that matters."""

from __future__ import annotations

from collections.abc import Sequence
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

HEIGHT, FOOT = 320.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line through marks at the values `x`."""

    series: Series
    x: tuple[float, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of the x axis, with what it says."""

    start: float
    stop: float
    label: str
    css: str = "span"


def curves(
    name: str,
    title: str,
    text: str,
    found: Sequence[Curve],
    x: Axis,
    y: Axis,
    *,
    span: Span | None = None,
    upright: Sequence[Line] = (),
    level: Sequence[Line] = (),
) -> Chart:
    """A chart of lines.

    span: shaded. upright, level: lines at a value of x, of y. name: unique on the page; text: what
    one who cannot see it is told.
    """
    wide, narrow = (
        frame(
            f"{name}-{suffix}",
            title,
            text,
            width,
            HEIGHT + FOOT,
            _draw(found, x, y, span, upright, level, width),
        )
        for suffix, width in (("w", WIDE), ("n", NARROW))
    )
    return Chart(title=title, series=tuple(one.series for one in found), wide=wide, narrow=narrow)


def _draw(
    found: Sequence[Curve],
    x: Axis,
    y: Axis,
    span: Span | None,
    upright: Sequence[Line],
    level: Sequence[Line],
    width: float,
) -> list[Markup]:
    phone = width < WIDE
    left, right, top = 46.0, width - (16.0 if phone else 168.0), 26.0
    parts: list[Markup] = []
    if span is not None:
        ends = x.place(span.start, left, right), x.place(span.stop, left, right)
        parts.append(box(ends[0], top, ends[1] - ends[0], HEIGHT - top, span.css))
        parts.append(label(sum(ends) / 2, top - 9, span.label, "note", "middle"))
    for tick in y.ticks:
        at = y.place(tick, HEIGHT, top)
        parts.append(line(left, at, right, at, "zero" if tick == y.low else "grid"))
        parts.append(label(left - 9, at + 4, y.text(tick), "tick", "end"))
    parts += _ticks(x, left, right, phone)
    if x.label:
        parts.append(label((left + right) / 2, HEIGHT + 40, x.label, "note", "middle"))
    for mark in level:
        at = y.place(mark.at, HEIGHT, top)
        parts.append(line(left, at, right, at, "limit"))
        parts.append(label(right, at - 5, mark.label, "note", "end"))
    for mark in upright:
        at = x.place(mark.at, left, right)
        parts.append(line(at, top, at, HEIGHT, "chosen"))
    for one in found:
        parts += _curve(one, x, y, left, right, top)
    for mark in upright:
        # Inside, where lines that part leave room; above, where nothing else stands.
        height = top - 9 if span is None else (top + HEIGHT) / 2
        at = x.place(mark.at, left, right)
        parts.append(label(at, height, mark.label, "note strong", "middle"))
    if not phone:
        parts += _names(found, y, right, top)
    return parts


def _curve(one: Curve, x: Axis, y: Axis, left: float, right: float, top: float) -> list[Markup]:
    at = [x.place(value, left, right) for value in one.x]
    css = one.series.css
    parts = []
    if one.marks and all(m.low is not None and m.high is not None for m in one.marks):
        highs = [(a, y.place(m.high or 0, HEIGHT, top)) for a, m in zip(at, one.marks, strict=True)]
        lows = [(a, y.place(m.low or 0, HEIGHT, top)) for a, m in zip(at, one.marks, strict=True)]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*highs, *lows[::-1]])
        parts.append(Markup('<polygon points="{}" class="band {}"/>').format(points, css))
    middle = [(a, y.place(m.value, HEIGHT, top)) for a, m in zip(at, one.marks, strict=True)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in middle)
    stroke = f"curve {css}{' dashed' if one.series.dashed else ''}"
    parts.append(Markup('<polyline points="{}" class="{}"/>').format(points, stroke))
    r = 4.0 if len(middle) <= 12 else 3.0
    parts += [
        marker(one.series.shape, a, b, css, mark.said, r)
        for (a, b), mark in zip(middle, one.marks, strict=True)
    ]
    return parts


def _names(found: Sequence[Curve], y: Axis, right: float, top: float) -> list[Markup]:
    """The names at the lines' ends, pushed apart where they would meet."""
    ends = sorted(
        [(y.place(one.marks[-1].value, HEIGHT, top), one.series) for one in found if one.marks],
        key=lambda pair: pair[0],
    )
    parts, last = [], top - 8.0
    places: list[float] = []
    for at, _ in ends:
        last = max(at, last + 15)
        places.append(last)
    over = max(places[-1] - HEIGHT, 0) if places else 0
    for place, (_, series) in zip(places, ends, strict=True):
        text = series.label if len(series.label) <= 22 else series.label[:21].rstrip() + "…"
        parts.append(label(right + 12, place - over + 4, text, f"end {series.css}"))
    return parts


def _ticks(x: Axis, left: float, right: float, phone: bool) -> list[Markup]:
    """What stands below the x axis; a text that would meet the last one stands lower."""
    parts: list[Markup] = []
    taken = [0.0, 0.0]  # how far to the right each of two levels is used
    for tick in x.thinned(6 if phone else 12):
        rows = _wrapped(x.text(tick), phone)
        width = 6.4 * max(len(words) for words in rows)
        at = x.place(tick, left, right)
        middle = min(at, right + 14 - width / 2)
        level = 0 if middle - width / 2 > taken[0] else 1
        taken[level] = middle + width / 2 + 4
        for row, words in enumerate(rows):
            y = HEIGHT + 17 + 13 * row + 26 * level
            parts.append(label(middle, y, words, "tick", "middle"))
    return parts


def _wrapped(text: str, phone: bool) -> list[str]:
    words = text.split(" ")
    if len(words) < 2 or len(text) <= (7 if phone else 12):
        return [text]
    return [words[0], " ".join(words[1:])]
