"""All attacks beside one another, the worst of them together, and what changes the model."""

from __future__ import annotations

from collections.abc import Sequence

from excise.reporting.attacks import AttackResult, Recovery
from excise.reporting.charts import Axis, Curve, Row, Series, curves, forest
from excise.reporting.page.looks import mark, marks, table
from excise.reporting.page.parts import Facts, Figure, Fold, Part, Table, Text
from excise.reporting.record import Record
from excise.reporting.verdict import figures
from excise.reporting.wording import listed, number, percent, points
from excise.reporting.worst_case import RULE

OVER = {
    "oracle": "a model that was never shown it",
    "decoys": "what a search finds of things that the edited model was never shown",
    "stated": "the floor that was stated, not measured",
}
CAN = {True: "yes", False: "no", None: "not known"}


def overview(record: Record, series: Sequence[Series]) -> list[Part]:
    """A chart of the attacks that confirm, another of those that inject; nothing of a single one.

    The worst case found stands first.
    """
    told = [one for one in record.attacks if one.counts is not None]
    if len(told) < 2:
        return []
    able = [one for one in told if one.kind == "confirming"]
    able.sort(key=lambda one: not one.confirmatory)
    bringing = [one for one in told if one.kind == "injecting"]
    parts: list[Part] = [_chart("overview", "Share of pictures that an attack brings back", able,
                                record, series)]  # fmt: skip
    if bringing:
        parts.append(
            Text(
                heading="With an input that may bring it along",
                body="These begin from a picture, or from noise that was tampered with. What comes "
                "out may have been put in, whatever the model knows, so they say nothing by "
                "themselves: read them beside the reference.",
            )
        )
        parts.append(_chart("injecting", "Share of pictures, with an input that may bring it along",
                            bringing, record, series))  # fmt: skip
    which: tuple[Part, ...] = (Text(body=RULE), _needs(told))
    parts.append(Fold(title="What each attacker needs, and which can tell", parts=which))
    if record.left_out:
        rows = tuple((_title(name), why) for name, why in record.left_out.items())
        parts.append(Fold(title="Attacks that were not run", parts=(Facts(rows=rows),)))
    return parts


def largest(record: Record) -> tuple[tuple[str, str], ...]:
    """The largest excess and what it is over; the floor that somebody stated, also if not used."""
    excess, stated, rows = record.excess, record.criteria.floor, []
    if excess is not None:
        oracle = record.arm("oracle")
        over = f"“{oracle.label}”" if oracle and excess.over == "oracle" else OVER[excess.over]
        rows += [
            (f"Largest excess over {over}", points(excess.value)),
            ("Upper bound, for all attacks at once", points(excess.upper)),
            ("Asked for", f"less than {points(record.criteria.excess)}"),
        ]
        if excess.floor is not None:
            rows.append((f"Taken off every search as {over}", percent(excess.floor)))
    if stated is not None and (excess is None or excess.over != "stated"):
        why = "what was measured counts" if excess else "no search could be held against it"
        rows.append(("Stated floor", f"{percent(stated)}; not used, since {why}"))
    return tuple(rows)


def _chart(
    key: str,
    title: str,
    attacks: Sequence[AttackResult],
    record: Record,
    series: Sequence[Series],
) -> Figure:
    arm = figures(record).arm
    named = [(one, rung.rates) for one in attacks if (rung := one.counts) is not None]
    rows = [(one.label, rates, bool(one.confirmatory)) for one, rates in named]
    caption = ""
    if key == "overview":
        caption = (
            "In bold: attacks that reach the unedited model and not the reference, and so can tell "
            "recovery from injection."
        )
        worst = record.worst_found
        if worst is not None:
            rows.insert(0, ("worst case found", worst.rates, True))
            caption += (
                " The worst case found is an attacker who has all of them, and takes for each "
                "prompt what looked best to him."
            )
    chart = forest(
        key,
        title,
        "; ".join(
            f"{name}: {percent(rates[arm].value)}" for name, rates, _ in rows if arm in rates
        ),
        [
            Row(
                label=name,
                marks=marks(rates, series),
                right=percent(rates[arm].value) if arm in rates else "",
                strong=strong,
            )
            for name, rates, strong in rows
        ],
        series,
        Axis(),
        right=next((one.label for one in series if one.key == arm), ""),
    )
    shown = table("attack", [(name, rates) for name, rates, _ in rows], series)
    return Figure(chart=chart, table=shown, caption=caption)


def _needs(attacks: Sequence[AttackResult]) -> Table:
    rows = tuple(
        (one.label, listed(list(one.needs)) or "–", CAN[one.confirmatory]) for one in attacks
    )
    return Table(
        head=("attack", "the attacker needs", "can it tell recovery from injection?"),
        rows=rows,
        numeric=False,
    )


def by_prompt(attack: AttackResult, series: Sequence[Series]) -> list[Part]:
    """How the rates differ between kinds of prompt; nothing where there is one kind."""
    if len(attack.groups) < 2:
        return []
    rows = [(group.label, group.rates) for group in attack.groups]
    return [Fold(title="By kind of prompt", parts=(table("asked with", rows, series),))]


def recoveries(record: Record, series: Sequence[Series]) -> list[Part]:
    """What it takes to bring the concept back by changing the model: a curve each."""
    if not record.recoveries:
        return []
    parts: list[Part] = [
        Text(
            heading="When someone changes the model",
            body="Whoever has the weights can train them further, and whoever has pictures can "
            "teach any model anything. So these are no single figures: what counts is how much "
            "sooner the concept is back than in a model that never knew it.",
        )
    ]
    for one in record.recoveries:
        about = " ".join(x for x in (one.definition, one.paper and f"After {one.paper}.") if x)
        parts.append(Fold(title=one.label, parts=(Text(body=about), *_curve(one, series))))
    return parts


def _curve(found: Recovery, series: Sequence[Series]) -> tuple[Part, ...]:
    rows = [(_asked(point.label, point.cost), point.rates) for point in found.points]
    if not rows:
        return ()
    shown = table("what was done", rows, series)
    used = [s for s in series if all(s.key in rates for _, rates in rows)]
    if len(rows) < 2 or not used:
        return (shown,)
    last = len(rows) - 1
    names = [point.label for point in found.points]
    chart = curves(
        f"recovery-{found.name}",
        f"{found.label}: share of pictures that show it",
        "; ".join(
            f"{s.label}: " + ", ".join(percent(rates[s.key].value) for _, rates in rows)
            for s in used
        ),
        [
            Curve(
                series=s,
                x=tuple(float(i) for i in range(last + 1)),
                marks=tuple(mark(rates[s.key], f"{s.label}, {name}") for name, rates in rows),
            )
            for s in used
        ],
        Axis(low=-0.15, high=last + 0.15, ticks=tuple(range(last + 1)),
             text=lambda value: names[round(value)]),
        Axis(),
    )  # fmt: skip
    return (Figure(chart=chart, table=shown),)


def _asked(label: str, cost: dict[str, float]) -> str:
    spent = [f"{number(value)} {name}" for name, value in cost.items() if value]
    return f"{label} ({listed(spent)})" if spent else label


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
