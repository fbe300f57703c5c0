"""Sections about how the edit was found: its strength, and what all of it cost."""

from __future__ import annotations

from collections.abc import Sequence

from excise.reporting.charts import Axis, Chart, Curve, Line, Series, Span, curves
from excise.reporting.figures import Cost, Estimate, Rate
from excise.reporting.findings import Strength, StrengthPoint
from excise.reporting.page.looks import cell, mark
from excise.reporting.page.parts import Facts, Figure, Part, Section, Slider, Table
from excise.reporting.page.strips import Uris, strip
from excise.reporting.record import Record
from excise.reporting.wording import number, percent, points, seconds, size

# The attribute of a point, and how its line looks: erasure, then what is kept.
LINES = (
    Series(key="plain", label="seen, plain words", css="s-edit"),
    Series(key="searched", label="seen, searched", css="s-rival1", shape="up"),
    Series(key="kept", label="rest kept, mean", css="s-kept", shape="square"),
    Series(key="neighbours", label="neighbours kept", css="s-rival2", shape="diamond", dashed=True),
    Series(key="worst", label="worst class kept", css="s-oracle", shape="down", dashed=True),
)


# How each floor came to be: only that for plain words may have been raised to what was measured.
SAID = {
    "plain": " (as stated, or the judge's false alarms)",
    "searched": " over all inputs (as stated, not measured), and no input more often beyond chance",
}
MEANT = {
    "plain": "in plain words",
    "searched": "after a search",
    "kept": "on average",
    "worst": "of the worst class",
    "neighbours": "of what is closest",
    "nothing": "of pictures at all",
}
# What is tested: not the figure itself, where chance alone may move it.
TESTED = {
    "kept": "at least {} for sure: the lower end that stands beside the figure is what is tested",
    "worst": "not shown to be under {}: of many classes one is low by chance alone, so the upper "
    "end that stands beside the figure is what is tested",
    "neighbours": "at least {}, the figure as it is",
    "nothing": "nothing can be recognised in at most {} more of them than before",
}


def strength(record: Record, uris: Uris, series: Sequence[Series]) -> Section | None:
    """The curve over the strength, and pictures at some of them."""
    found = record.strength
    drawn = _slider(record, uris, series)
    parts: list[Part] = [] if drawn is None else [drawn]
    lead = (
        "The edit can be applied more or less strongly. Too little leaves the concept, too much "
        "harms the rest. "
    )
    if found is not None and found.points:
        lead += (
            "The shaded range meets both demands; the strength is chosen within it. "
            if found.feasible
            else "No strength meets both demands: what is needed to remove the concept lies above "
            "what the rest can bear. Both ends are shown. "
        )
        lead += found.note
        parts += [
            Figure(
                chart=_strength_chart(found),
                table=_strength_table(found),
                caption="Lines are the figures. What is tested may be an end of one, which stands "
                "beside it in the table: below is which.",
            ),
            Facts(rows=_ends(found)),
        ]
    if not parts:
        return None
    return Section(
        key="strength",
        title="How strong the edit must be",
        lead=lead.strip(),
        parts=tuple(parts),
    )


def _slider(record: Record, uris: Uris, series: Sequence[Series]) -> Slider | None:
    """The same prompts and seeds at one strength after the other, the chosen one first."""
    strips, values = [], []
    for stop in record.slider:
        group = record.group(stop.pictures)
        made = None if group is None else strip(group, uris, series, title="")
        if made is not None:
            strips.append(made)
            values.append(f"{number(stop.strength)} times the edit" if stop.strength else "no edit")
            if stop.strength == 1:
                values[-1] = "the edit as it is"
    if len(strips) < 2:
        return None
    start = values.index("the edit as it is") if "the edit as it is" in values else 0
    return Slider(
        title="The same prompts and seeds, by strength",
        values=tuple(values),
        strips=tuple(strips),
        start=start,
    )


def _ends(found: Strength) -> tuple[tuple[str, str], ...]:
    def text(value: float | None) -> str:
        return "not reached" if value is None else number(value)

    rows = [("Gone from strength", text(found.erased_from))]
    rows.append(("Rest kept up to strength", text(found.kept_to)))
    rows.append(("Chosen", "none" if found.chosen is None else number(found.chosen)))
    rows += [
        (f"“Gone” means {MEANT.get(name, name)}", f"seen in at most {percent(v)}{SAID[name]}")
        for name, v in found.floors.items()
    ]
    rows += [
        (f"“Kept” means {MEANT.get(name, name)}", _tested(name, limit))
        for name, limit in found.limits.items()
    ]
    return tuple(rows)


def _tested(name: str, limit: float) -> str:
    shown = points(limit) if name == "nothing" else percent(limit)
    return TESTED.get(name, "at least {}").format(shown)


def _of(point: StrengthPoint, key: str) -> Rate | Estimate | None:
    value: Rate | Estimate | None = getattr(point, key)
    return value


def _strength_chart(found: Strength) -> Chart:
    alphas = [point.alpha for point in found.points]
    lines = []
    for series in LINES:
        pairs = [(p.alpha, value) for p in found.points if (value := _of(p, series.key))]
        if pairs:
            said = tuple(mark(v, f"{series.label}, strength {number(a)}") for a, v in pairs)
            lines.append(Curve(series=series, x=tuple(a for a, _ in pairs), marks=said))
    span = None
    if found.erased_from is not None and found.kept_to is not None:
        both = sorted((found.erased_from, found.kept_to))
        text = "gone, and rest kept" if found.feasible else "neither gone nor kept"
        span = Span(start=both[0], stop=both[1], label=text,
                    css="span" if found.feasible else "span bad")  # fmt: skip
    axis = Axis.around(alphas, number, "strength")
    return curves(
        "strength-curve",
        "The concept and the rest, by strength of the edit",
        f"gone from {found.erased_from}, kept up to {found.kept_to}, chosen {found.chosen}",
        lines,
        Axis(low=min(alphas), high=max(alphas), label="strength", text=number,
             ticks=tuple(t for t in axis.ticks if min(alphas) <= t <= max(alphas))),
        Axis(),
        span=span,
        upright=[] if found.chosen is None else [Line(at=found.chosen, label="chosen")],
    )  # fmt: skip


def _strength_table(found: Strength) -> Table:
    used = [s for s in LINES if any(_of(p, s.key) for p in found.points)]
    norms = any(point.norm is not None for point in found.points)
    blank = any(point.nothing is not None for point in found.points)
    return Table(
        head=(
            "strength",
            *(s.label for s in used),
            *(("more pictures of nothing",) if blank else ()),
            *(("change of weights",) if norms else ()),
        ),
        rows=tuple(
            (
                number(p.alpha),
                *(cell(_of(p, s.key)) for s in used),
                *((points(p.nothing.value) if p.nothing else "–",) if blank else ()),
                *((percent(p.norm) if p.norm is not None else "–",) if norms else ()),
            )
            for p in found.points
        ),
    )


def costs(record: Record) -> Section | None:
    """What the work cost, by stage."""
    if not record.costs:
        return None

    def row(name: str, cost: Cost) -> tuple[str, ...]:
        counts = (cost.evaluations, cost.gradients, cost.pictures)
        sizes = (cost.peak_bytes, cost.saved_bytes)
        return (
            name,
            seconds(cost.seconds),
            *(number(value) if value else "–" for value in counts),
            *(size(value) if value else "–" for value in sizes),
        )

    parts = [one.cost for one in record.costs]
    total = Cost(
        evaluations=sum(c.evaluations for c in parts),
        gradients=sum(c.gradients for c in parts),
        pictures=sum(c.pictures for c in parts),
        seconds=sum(c.seconds for c in parts),
        peak_bytes=max(c.peak_bytes for c in parts),
        saved_bytes=sum(c.saved_bytes for c in parts),
    )
    machine = "; ".join(f"{name} {value}" for name, value in record.machine.items())
    table = Table(
        head=("stage", "time", "evaluations", "gradients", "pictures", "peak memory", "written"),
        rows=(*(row(c.stage, c.cost) for c in record.costs), row("in all", total)),
    )
    return Section(
        key="costs",
        title="What it cost",
        lead="An evaluation is one picture through the denoising network once."
        + (f" Machine: {machine}." if machine else ""),
        parts=(table,),
    )
