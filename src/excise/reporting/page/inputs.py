"""The section about inverted inputs: what each draws and explains, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from excise.reporting.charts import Axis, Mark, Row, Series, forest
from excise.reporting.findings import Inversions, Inverted
from excise.reporting.page.looks import cell, plain_cell
from excise.reporting.page.parts import Facts, Figure, Fold, Pair, Part, Section, Strip, Table, Text
from excise.reporting.page.strips import Uris, strip
from excise.reporting.record import Record
from excise.reporting.wording import number, percent

SHOWN = 6  # inputs whose pictures are seen at once; the others when asked for


def inversions(record: Record, uris: Uris, series: Sequence[Series]) -> Section | None:
    """What each inverted input draws and explains, and how many kinds there are."""
    found = record.inversions
    if found is None or not found.rows:
        return None
    strips = [one for row in found.rows if (one := _strip(row, record, uris, series)) is not None]
    parts: list[Part] = [Pair(strips=tuple(strips[:SHOWN]))] if strips else []
    if strips[SHOWN:]:
        rest = Pair(strips=tuple(strips[SHOWN:]))
        parts.append(Fold(title=f"The other {number(len(strips[SHOWN:]))} inputs", parts=(rest,)))
    parts += _losses(found, series)
    parts += _kinds(found)
    parts.append(Fold(title="Numbers of each input", parts=(_table(found, series),)))
    return Section(
        key="inputs",
        title="Other ways to ask for it",
        lead="Words are not all that a model can be asked with. Before erasing, the method "
        "searches for many different inputs, made of numbers rather than words, that draw the "
        "concept on the unedited model. The edit has to stop all of them."
        + (f" {found.note}" if found.note else ""),
        parts=tuple(parts),
    )


def _strip(row: Inverted, record: Record, uris: Uris, series: Sequence[Series]) -> Strip | None:
    group = record.group(row.pictures)
    if group is None:
        return None
    seen = [f"{percent(row.rates[s.key].value)} {s.label}" for s in series if s.key in row.rates]
    loss = [f"{number(row.losses[s.key])} {s.label}" for s in series if s.key in row.losses]
    facts = [
        f"{name}: {', '.join(values)}" for name, values in (("seen in", seen), ("loss", loss))
        if values
    ]  # fmt: skip
    return strip(group, uris, series, title=f"Input {row.label}", facts=" · ".join(facts), most=4)


def _losses(found: Inversions, series: Sequence[Series]) -> list[Part]:
    used = [s for s in series if any(s.key in row.losses for row in found.rows)]
    if not used:
        return []
    said = ""
    if found.gap is not None:
        low, high = found.gap.low, found.gap.high
        said = f" Over all inputs it rose by {plain_cell(found.gap)}"
        if low is not None and low > 0:
            said += ": they have lost hold of the concept."
        elif high is not None and high < 0:
            said += ", that is, it fell: they explain the concept better than before."
        else:
            said += ", which may as well be nothing: they still explain the concept."
    chart = forest(
        "inputs-loss",
        "Denoising loss on pictures of the concept, under each input",
        "; ".join(
            f"input {row.label}: "
            + ", ".join(f"{s.label} {number(row.losses[s.key])}" for s in used
                        if s.key in row.losses)
            for row in found.rows
        ),
        [
            Row(
                label=f"input {row.label}",
                marks={
                    s.key: Mark(value=row.losses[s.key],
                                said=f"{s.label}: {number(row.losses[s.key])}")
                    for s in used
                    if s.key in row.losses
                },
                right="" if row.gap is None else _signed(row.gap.value),
            )
            for row in found.rows
        ],
        used,
        Axis.around(
            [value for row in found.rows for value in row.losses.values()],
            number,
            "more error: the input explains the concept less well",
            zero=False,
        ),
        right="rise" if any(row.gap for row in found.rows) else "",
    )  # fmt: skip
    numbers = Table(
        head=("input", *(s.label for s in used), "rise, paired"),
        rows=tuple(
            (
                row.label,
                *(number(row.losses[s.key]) if s.key in row.losses else "–" for s in used),
                plain_cell(row.gap),
            )
            for row in found.rows
        ),
    )
    return [
        Text(
            heading="How well each input explains the concept",
            body="An input that means the concept lets the model take noise off its pictures with "
            f"little error. The same pictures and noise before and after.{said}",
        ),
        Figure(chart=chart, table=numbers),
    ]


def _kinds(found: Inversions) -> list[Part]:
    of = "" if found.size is None else f" of {number(found.size)}"
    known = {
        "Inputs": number(len(found.rows)),
        "Kinds of effect": "" if found.clusters is None else f"{number(found.clusters)}{of} inputs",
        "Effective number of directions (participation ratio)": ""
        if found.participation is None
        else f"{number(found.participation)}{of}",
        "Chance that the next input is of a new kind": ""
        if found.singletons is None
        else percent(found.singletons),
        "Independent searches on the edit, of which none brought it back beyond chance": ""
        if found.checked is None
        else number(found.checked),
        "So the next one brings it back with a probability of at most": ""
        if found.survival is None
        else f"{percent(found.survival)} (at {percent(found.level)} confidence)",
    }
    rows = tuple((name, value) for name, value in known.items() if value)
    return [
        Text(
            heading="How different they are",
            body="By what they do, not by their numbers: two inputs are of one kind if they change "
            "the model's prediction in the same direction. Many kinds make the test hard; a high "
            "chance of a new kind says that not all of them were found.",
        ),
        Facts(rows=rows),
    ]


def _table(found: Inversions, series: Sequence[Series]) -> Table:
    rates = [s for s in series if any(s.key in row.rates for row in found.rows)]
    return Table(
        head=("input", "kind", *(f"seen, {s.label}" for s in rates)),
        rows=tuple(
            (
                row.label,
                "–" if row.cluster is None else number(row.cluster + 1),
                *(cell(row.rates.get(s.key)) for s in rates),
            )
            for row in found.rows
        ),
    )


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)
