"""The section about where in the network the edit is."""

from __future__ import annotations

from excise.reporting.charts import Axis, Chart, Mark, Row, Series, forest
from excise.reporting.figures import Estimate
from excise.reporting.findings import Block, Blocks
from excise.reporting.page.looks import plain_cell
from excise.reporting.page.parts import Facts, Figure, Section, Table
from excise.reporting.record import Record
from excise.reporting.wording import listed, number, percent

GAIN = Series(key="gain", label="gain: error on the concept, which is to rise", css="s-edit")
COST = Series(
    key="cost",
    label="cost: change to everything else, which is not wanted",
    css="s-bad",
    shape="square",
)


def blocks(record: Record) -> Section | None:
    """Gain and cost of each block, and which were kept."""
    found = record.blocks
    if found is None or not found.rows:
        return None
    chosen = [row for row in found.rows if row.chosen]
    table = Table(
        head=("block", "share of the change", "gain", "cost", "gain for cost", "used"),
        rows=tuple(
            (
                row.name,
                percent(row.norm),
                plain_cell(row.gain),
                plain_cell(row.cost),
                _worth(row),
                "yes" if row.chosen else "no",
            )
            for row in found.rows
        ),
    )
    lead = (
        "Not every part of the network holds the concept. The change was made in each block "
        "alone, to see how much it takes from the concept and how much it does to everything else. "
    )
    if len(chosen) < len(found.rows):
        lead += "The edit is confined to the blocks that gain most for what they cost."
    else:
        lead += "The edit uses all of them."
    return Section(
        key="blocks",
        title="Where in the model",
        lead=f"{lead} {found.note}".strip(),
        parts=(
            Figure(
                chart=_chart(found),
                table=table,
                caption="Gain: by how much the denoising loss on the concept rises. Cost: how much "
                "is changed in the predictions of everything else.",
            ),
            Facts(rows=(("Blocks that the edit uses", listed([row.name for row in chosen], 12)),)),
        ),
    )


def _chart(found: Blocks) -> Chart:
    rows = found.rows
    ends = [b for r in rows for e in (r.gain, r.cost) for b in (e.low, e.high, e.value)]
    return forest(
        "blocks-chart",
        "What the change gains and costs in each block alone",
        "; ".join(
            f"{r.name}: gain {number(r.gain.value)}, cost {number(r.cost.value)}"
            + (", used" if r.chosen else "")
            for r in rows
        ),
        [
            Row(
                label=row.name,
                marks={"gain": _mark(row.gain, "gain"), "cost": _mark(row.cost, "cost")},
                right="used" if row.chosen else "–",
                strong=row.chosen,
            )
            for row in rows
        ],
        (GAIN, COST),
        Axis.around([b for b in ends if b is not None], number, "mean squared error"),
        bars=True,
    )


def _worth(row: Block) -> str:
    if row.cost.value <= 0:
        return "no cost" if row.gain.value > 0 else "–"
    return number(row.gain.value / row.cost.value)


def _mark(found: Estimate, name: str) -> Mark:
    return Mark(
        value=found.value, low=found.low, high=found.high, said=f"{name}: {plain_cell(found)}"
    )
