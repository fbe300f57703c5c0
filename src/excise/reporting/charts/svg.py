"""What all charts are made of. Texts are escaped by `Markup.format`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup

from excise.reporting.wording import percent

WIDE, NARROW = 1040, 340  # units of the page's own pixels


@dataclass(frozen=True, kw_only=True)
class Series:
    """What marks of one colour and shape stand for. css: a class of the page's style sheet."""

    key: str
    label: str
    css: str
    shape: str = "circle"
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A value, with bounds where they are known, and what a pointer is told about it."""

    value: float
    low: float | None = None
    high: float | None = None
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line across a chart at a value, with what it says."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """From low to high, with ticks."""

    low: float = 0.0
    high: float = 1.0
    ticks: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    text: Callable[[float], str] = percent
    label: str = ""

    def place(self, value: float, start: float, stop: float) -> float:
        """Where a value stands between two coordinates; what lies outside, at the end."""
        share = (value - self.low) / (self.high - self.low)
        return start + min(max(share, 0.0), 1.0) * (stop - start)

    def thinned(self, most: int) -> tuple[float, ...]:
        """The ticks, or every other of them, zero among them, if there are more than `most`."""
        if len(self.ticks) <= most:
            return self.ticks
        keep = self.ticks.index(0.0) % 2 if 0.0 in self.ticks else 0
        return self.ticks[keep::2]

    @staticmethod
    def around(
        values: Iterable[float], text: Callable[[float], str], label: str = "", zero: bool = True
    ) -> Axis:
        """An axis with round ticks that holds all values, of which there is one, and zero."""
        found = [*([0.0] if zero else []), *values]
        low, high = min(found), max(found)
        step = _round_step((high - low or 1.0) / 6)
        first, last = int(low // step), -int(-high // step)
        ticks = tuple(float(f"{i * step:.10g}") for i in range(first, max(last, first + 1) + 1))
        return Axis(low=ticks[0], high=ticks[-1], ticks=ticks, text=text, label=label)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart in two widths; series: what its marks stand for."""

    title: str
    series: tuple[Series, ...]
    wide: Markup
    narrow: Markup


def frame(
    name: str, title: str, text: str, width: float, height: float, body: Iterable[Markup]
) -> Markup:
    """The whole SVG. name: unique on the page. text: what one who cannot see it is told."""
    return Markup(
        '<svg class="chart" viewBox="0 0 {w:g} {h:g}" width="{w:g}" height="{h:g}" role="img" '
        'aria-labelledby="{n}-t {n}-d"><title id="{n}-t">{title}</title>'
        '<desc id="{n}-d">{text}</desc>{body}</svg>'
    ).format(w=width, h=height, n=name, title=title, text=text, body=Markup("").join(body))


def label(x: float, y: float, text: str, css: str = "", anchor: str = "start") -> Markup:
    """A text that stands on the line y."""
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}">{}</text>').format(
        x, y, css, anchor, text
    )


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """A straight line."""
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(
        x1, y1, x2, y2, css
    )


def box(x: float, y: float, width: float, height: float, css: str, radius: float = 0) -> Markup:
    """A rectangle."""
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{:g}" class="{}"/>'
    ).format(x, y, max(width, 0), max(height, 0), radius, css)


def marker(shape: str, x: float, y: float, css: str, said: str = "", r: float = 4.5) -> Markup:
    """A mark, which tells a pointer what it stands for."""
    title = Markup("<title>{}</title>").format(said) if said else Markup("")
    if shape == "circle":
        return Markup(
            '<circle cx="{:.1f}" cy="{:.1f}" r="{:g}" class="mark {}">{}</circle>'
        ).format(x, y, r, css, title)
    corners = {
        "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        "up": [(0, -1.2), (1.15, 0.85), (-1.15, 0.85)],
        "down": [(0, 1.2), (1.15, -0.85), (-1.15, -0.85)],
        "bar": [(-0.45, -1.3), (0.45, -1.3), (0.45, 1.3), (-0.45, 1.3)],
    }[shape]
    points = " ".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners)
    return Markup('<polygon points="{}" class="mark {}">{}</polygon>').format(points, css, title)


def icon(series: Series) -> Markup:
    """The mark of a series, for a legend; says nothing by itself."""
    return Markup(
        '<svg class="icon" viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">{}</svg>'
    ).format(marker(series.shape, 7, 7, series.css))


def _round_step(least: float) -> float:
    power = 1.0
    while power > least:
        power /= 10
    while power * 10 <= least:
        power *= 10
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least * 0.999)
