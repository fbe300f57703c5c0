"""What sections are made of. ``kind`` tells the template which part it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from excise.reporting.charts import Chart, Series


@dataclass(frozen=True, kw_only=True)
class Table:
    """Texts in rows. numeric: the columns, from 0, that hold numbers."""

    kind: ClassVar[str] = "table"

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numeric: bool = True


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart, with its numbers as a table."""

    kind: ClassVar[str] = "figure"

    chart: Chart
    table: Table
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A picture. hit: the judge sees the concept in it."""

    uri: str
    alt: str
    hit: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """One prompt and seed, drawn by every arm; None where one has no picture."""

    caption: str
    tiles: tuple[Tile | None, ...]


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Pictures in columns, the arms one below the other; bands of columns stay together."""

    kind: ClassVar[str] = "strip"

    title: str
    note: str
    arms: tuple[Series, ...]
    bands: tuple[tuple[Column, ...], ...]
    captions: bool
    facts: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Strips side by side."""

    kind: ClassVar[str] = "pair"

    strips: tuple[Strip, ...]


@dataclass(frozen=True, kw_only=True)
class Slider:
    """Strips of which one is shown at a time. start: the number of the first to be seen.

    values: what each is at, as text.
    """

    kind: ClassVar[str] = "slider"

    title: str
    values: tuple[str, ...]
    strips: tuple[Strip, ...]
    start: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names with a text each."""

    kind: ClassVar[str] = "facts"

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Text:
    """A heading, or a paragraph, or both. code: text to be shown as it stands."""

    kind: ClassVar[str] = "text"

    heading: str = ""
    body: str = ""
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A doubt that was raised."""

    kind: ClassVar[str] = "notice"

    level: str
    title: str
    body: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Parts that are shown when asked for. alone: not together with all others, but by itself."""

    kind: ClassVar[str] = "fold"

    title: str
    parts: tuple[Part, ...]
    alone: bool = False


Part = Table | Figure | Strip | Pair | Slider | Facts | Text | Notice | Fold


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page that one can go to."""

    key: str
    title: str
    lead: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A big number. references: (series, text), what to compare it to."""

    title: str
    value: str
    interval: str
    detail: str
    gauge: Markup
    references: tuple[tuple[Series, str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """All of it. models: those that are compared, and what each is."""

    title: str
    status: str
    tone: str
    short: str
    intro: str
    headline: str
    attack: str
    reasons: tuple[str, ...]
    chips: tuple[str, ...]
    alarms: tuple[str, ...]
    cards: tuple[Card, ...]
    models: tuple[tuple[Series, str], ...]
    hero: tuple[Strip, ...]
    legend: str
    sections: tuple[Section, ...]
