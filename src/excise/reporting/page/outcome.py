"""Sections about what the edited model draws: pictures, plain use, what is kept and what comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from excise.reporting.charts import Axis, Line, Row, Series, forest
from excise.reporting.figures import Estimate, Rate
from excise.reporting.findings import KeptRow, Measure, RateRow
from excise.reporting.page.looks import marks, plain_cell, table, without_bounds
from excise.reporting.page.parts import Figure, Fold, Part, Section, Table, Text
from excise.reporting.page.strips import Uris, strip
from excise.reporting.record import Record
from excise.reporting.verdict import concept_name, figures
from excise.reporting.wording import listed, percent

GROUPS = (
    ("concept", "Asked for by name"),
    ("synonym", "Asked for in other words"),
    ("held_back", "In words that the method was never told"),
    ("two_objects", "Beside something else"),
    ("neighbour", "What comes closest to it"),
    ("unrelated", "Everything else"),
)


def pictures(record: Record, uris: Uris, series: Sequence[Series]) -> Section | None:
    """The same prompts and seeds, drawn by every arm."""
    parts: list[Part] = []
    for kind, heading in GROUPS:
        found = [
            strip(group, uris, series, title=_title(group.title, heading))
            for group in record.pictures
            if group.kind == kind
        ]
        shown = [one for one in found if one is not None]
        if shown:
            parts += [Text(heading=heading), shown[0]]
        if shown[1:]:
            also = listed([one.title for one in shown[1:]])
            parts.append(Fold(title=f"Also: {also}", parts=tuple(shown[1:])))
    if not parts:
        return None
    flagged = any(group.shown for group in record.pictures)
    ring = " A ring marks a picture in which the judge sees it." if flagged else ""
    return Section(
        key="pictures",
        title="The same prompts, before and after",
        lead="A column is one prompt with one random seed, so that nothing but the model differs "
        f"between its pictures.{ring}",
        parts=tuple(parts),
    )


def _label(series: Sequence[Series], arm: str) -> str:
    return next((one.label for one in series if one.key == arm), "")


def _title(title: str, heading: str) -> str:
    return "" if title.casefold() == heading.casefold() else title


def plain_use(record: Record, series: Sequence[Series]) -> Section | None:
    """How often the concept is seen, by kind of prompt."""
    if not record.rates:
        return None
    low = [row for row in record.rates if row.want == "low"]
    high = [row for row in record.rates if row.want == "high"]
    parts: list[Part] = []
    name = concept_name(record)
    if low:
        title = f"Share of pictures that show {name}"
        limit = Line(at=record.criteria.plain, label=f"at most {percent(record.criteria.plain)}")
        parts.append(_rates("rates", title, low, series, record, [limit]))
    if high:
        parts.append(Text(heading="What should still be there"))
        title = "Share of pictures that show what else was asked for"
        parts.append(_rates("beside", title, high, series, record, []))
    return Section(
        key="plain",
        title=f"How often {name} appears",
        lead="In plain use: its name, other words for it, several ways of asking, and more or less "
        f"insistence on the prompt (guidance). Lines are intervals at {percent(0.95)} confidence.",
        parts=tuple(parts),
    )


def _rates(
    key: str,
    title: str,
    rows: Sequence[RateRow],
    series: Sequence[Series],
    record: Record,
    lines: Sequence[Line],
) -> Figure:
    arm = figures(record).arm
    chart = forest(
        key,
        title,
        _said([(row.label, row.rates) for row in rows], arm),
        [
            Row(
                label=row.label,
                marks=marks(row.rates, series),
                right=percent(row.rates[arm].value) if arm in row.rates else "",
                strong=row.kind == "plain",
            )
            for row in rows
        ],
        series,
        Axis(),
        lines=lines,
        right=_label(series, arm),
    )
    return Figure(chart=chart, table=table("prompts", [(r.label, r.rates) for r in rows], series))


def kept(record: Record, series: Sequence[Series]) -> Section | None:
    """What is still drawn as asked, by class."""
    if record.kept is None:
        return None
    found, arm, limits = record.kept, figures(record).arm, record.criteria
    parts: list[Part] = []
    rows = sorted(
        (row for row in found.rows if arm in row.share), key=lambda row: row.share[arm].value
    )
    if rows:
        parts.append(_shares(rows, series, arm, limits.worst, limits.neighbours))
    summary: list[tuple[str, Mapping[str, Rate | Estimate]]] = [
        ("mean of all", found.mean),
        ("worst single thing", found.worst),
        ("what comes closest to it", found.neighbours),
    ]
    filled = [(name, values) for name, values in summary if values]
    if filled:
        parts.append(table("share of the unedited model", filled, series))
    if found.nothing:
        parts.append(Text(heading="Pictures of nothing"))
        blank = [("pictures in which nothing can be recognised", found.nothing)]
        parts.append(table("of all that was asked for", blank, series))
    parts += _measures(found.measures, series)
    return Section(
        key="kept",
        title="What was kept",
        lead="A model that draws nothing has erased nothing. Here is how often everything else is "
        "still drawn as asked, as a share of the unedited model; the worst comes first.",
        parts=tuple(parts),
    )


def _measures(found: Sequence[Measure], series: Sequence[Series]) -> list[Part]:
    """What the right label does not show."""
    used = [s for s in series if any(s.key in m.values for m in found)]
    if not used:
        return []
    figures = Table(
        head=("measure", *(one.label for one in used), "better"),
        rows=tuple(
            (
                m.label,
                *(plain_cell(m.values.get(s.key)) for s in used),
                "higher" if m.want == "high" else "lower",
            )
            for m in found
        ),
    )
    notes = list(dict.fromkeys(m.note for m in found if m.note))
    said = Text(heading="Variety, drift and fit", body=" ".join(notes))
    return [said, figures]


def _shares(
    rows: Sequence[KeptRow], series: Sequence[Series], arm: str, worst: float, near: float
) -> Figure:
    lows = [one.value if one.low is None else one.low for r in rows for one in r.share.values()]
    least = min([*lows, worst])
    start = 0.0 if least < 0.45 else 0.4 if least < 0.68 else 0.7
    ticks = {0.0: (0.0, 0.25, 0.5, 0.75, 1.0), 0.4: (0.4, 0.6, 0.8, 1.0)}.get(
        start, (0.7, 0.8, 0.9, 1.0)
    )
    names = {"neighbour": " (close to it)"}
    chart = forest(
        "kept",
        "Share of the unedited model's success that is kept",
        _said([(row.label, row.share) for row in rows], arm),
        [
            Row(
                label=row.label + names.get(row.kind, ""),
                marks=marks(row.share, [one for one in series if one.css != "s-base"]),
                right=percent(row.share[arm].value),
                strong=row.kind == "neighbour",
            )
            for row in rows
        ],
        series,
        Axis(low=start, high=1.05, ticks=ticks),
        lines=[Line(at=worst, label=f"no class under {percent(worst)}")],
        right=_label(series, arm),
    )
    return Figure(
        chart=chart,
        table=table("drawn as asked", [(row.label, row.rates) for row in rows], series),
        caption=f"What comes closest to it is asked to keep {percent(near)}.",
    )


def replacement(record: Record, series: Sequence[Series]) -> Section | None:
    """What is drawn in its place."""
    if record.replacement is None:
        return None
    counts = record.replacement.counts
    arm = figures(record).arm
    totals = {key: sum(found.values()) for key, found in counts.items()}
    labels = list(dict.fromkeys(label for found in counts.values() for label in found))
    labels.sort(key=lambda label: -counts.get(arm, {}).get(label, 0))
    shares: list[tuple[str, Mapping[str, Rate]]] = [
        (
            label,
            {
                key: Rate.of(found.get(label, 0), totals[key])
                for key, found in counts.items()
                if totals[key]
            },
        )
        for label in labels
    ]
    chart = forest(
        "replacement",
        "What the judge sees in pictures that were asked to show it",
        _said(shares, arm),
        [Row(label=label, marks=without_bounds(marks(rates, series))) for label, rates in shares],
        series,
        Axis(),
        bars=True,
    )
    note = record.replacement.note
    return Section(
        key="instead",
        title="What is drawn instead",
        lead="One and the same thing every time would be a patch over the concept; a spread like "
        "that of a model that never knew it is what forgetting looks like." + (note and f" {note}"),
        parts=(Figure(chart=chart, table=table("seen", shares, series)),),
    )


def _said(rows: Sequence[tuple[str, Mapping[str, Rate | Estimate]]], arm: str) -> str:
    """The chart in words, for the figure in question; all of it is in the table below."""
    return "; ".join(f"{name}: {percent(found[arm].value)}" for name, found in rows if arm in found)
