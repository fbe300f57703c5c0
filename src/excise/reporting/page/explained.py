"""What the denoising loss says: whether a model still knows the concept, without any judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from excise.reporting.attacks import AttackResult
from excise.reporting.charts import Axis, Mark, Row, Series, forest
from excise.reporting.figures import Estimate
from excise.reporting.findings import OverErasure
from excise.reporting.page.looks import plain_cell
from excise.reporting.page.parts import Figure, Part, Table, Text
from excise.reporting.record import Record
from excise.reporting.verdict import concept_name, figures
from excise.reporting.wording import number, percent

MEANING = (
    "A diffusion model learns to take noise off pictures, and errs less where it knows what the "
    "picture shows. That error, the denoising loss, can be measured without anybody looking at a "
    "picture, so no judge can be fooled."
)


def delta_loss(attack: AttackResult, record: Record, series: Sequence[Series]) -> list[Part]:
    """L(oracle) - L(arm) at what the attack found on each; nothing where it was not measured."""
    found = attack.delta_loss
    used = [s for s in series if s.key in found]
    if not used:
        return []
    name, reference = concept_name(record), _reference(record)
    chart = forest(
        f"loss-{attack.name}",
        f"Delta-loss: how much less a model errs on pictures of {name} than “{reference}” does",
        _said(used, found),
        [_row(s.label, [s], found) for s in used],
        series,
        Axis.around(_ends(found), number, "right of zero: knows more of it than the reference"),
    )
    return [
        Text(
            heading="Does it still know the concept?",
            body=f"{MEANING} Here each model gets noisy pictures of {name} together with the input "
            f"that {attack.label} found best for it, and its error is taken from that of "
            f"“{reference}” on the same pictures and the same noise. {_still_knows(record, found)}",
        ),
        Figure(
            chart=chart,
            table=_table("model", "L(reference) − L(model)", used, found),
            caption="Zero: it explains the concept as well as a model that never saw it. Lines are "
            f"intervals at {percent(0.95)} confidence, across pictures.",
        ),
    ]


def over_erasure(record: Record, series: Sequence[Series]) -> list[Part]:
    """The loss on pictures of the concept, by arm; nothing where it was not measured."""
    found = record.over_erasure
    if found is None or not (found.named or found.unnamed):
        return []
    name = concept_name(record)
    kinds = [("asked for by name", found.named), ("with no prompt", found.unnamed)]
    rows = [(label, values) for label, values in kinds if values]
    used = [s for s in series if any(s.key in values for _, values in rows)]
    ends = [end for _, values in rows for end in _ends(values)]
    chart = forest(
        "over-erasure",
        f"Denoising loss on pictures of {name}",
        "; ".join(f"{label}: {_said(used, values)}" for label, values in rows),
        [_row(label, used, values) for label, values in rows],
        series,
        Axis.around(ends, number, "more error: less likely to the model", zero=False),
    )
    return [
        Text(
            heading="Was too much taken away?",
            body=f"An edit can overshoot: pictures of {name} then surprise the model more than "
            "they surprise one that never saw any. That is a scar, by which it can be told that "
            f"something was cut out. {_scar(record, found)}",
        ),
        Figure(
            chart=chart,
            table=Table(
                head=("prompt", *(s.label for s in used)),
                rows=tuple(
                    (label, *(plain_cell(values.get(s.key)) for s in used))
                    for label, values in rows
                ),
                caption=f"Mean squared error over {number(found.pictures)} pictures that neither "
                "an edit nor an attack has seen.",
            ),
            caption="The same pictures and the same noise for every model. What counts is where "
            f"the edited model stands beside “{_reference(record)}”, not how large the error is.",
        ),
    ]


def _still_knows(record: Record, found: Mapping[str, Estimate]) -> str:
    figure = found.get(figures(record).arm)
    if figure is None:
        return ""
    value = plain_cell(figure)
    low = figure.value if figure.low is None else figure.low
    if low > 0:
        return f"After the edit the difference is {value}: it still knows something of it."
    return (
        f"After the edit the difference is {value}, which is not above zero: it explains the "
        "concept no better than a model that never saw it."
    )


def _scar(record: Record, found: OverErasure) -> str:
    figure = found.gap.get(figures(record).arm)
    if figure is None:
        return "" if record.arm("oracle") else "There is no such model here to compare with."
    value = plain_cell(figure)
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    start = f"After the edit the error, asked for by name, lies {value} above the reference's"
    if low > 0:
        return f"{start}: it was pushed too far."
    if high < 0:
        return f"{start}, that is, below it: it has not become less likely than that."
    return f"{start}, which may as well be nothing: no scar was found."


def _reference(record: Record) -> str:
    oracle = record.arm("oracle")
    return oracle.label if oracle else "the reference"


def _row(label: str, used: Sequence[Series], found: Mapping[str, Estimate]) -> Row:
    return Row(
        label=label,
        marks={
            s.key: Mark(
                value=found[s.key].value,
                low=found[s.key].low,
                high=found[s.key].high,
                said=f"{s.label}: {plain_cell(found[s.key])}",
            )
            for s in used
            if s.key in found
        },
        right=number(found[used[0].key].value) if len(used) == 1 and used[0].key in found else "",
    )


def _table(first: str, second: str, used: Sequence[Series], found: Mapping[str, Estimate]) -> Table:
    return Table(
        head=(first, second), rows=tuple((s.label, plain_cell(found[s.key])) for s in used)
    )


def _said(used: Sequence[Series], found: Mapping[str, Estimate]) -> str:
    return "; ".join(f"{s.label}: {plain_cell(found[s.key])}" for s in used if s.key in found)


def _ends(found: Mapping[str, Estimate]) -> list[float]:
    return [b for e in found.values() for b in (e.low, e.high, e.value) if b is not None]
