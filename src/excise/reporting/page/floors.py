"""What a search reaches where there is nothing to recover: the oracle's floor and the decoys'."""

from __future__ import annotations

from collections.abc import Sequence

from excise.reporting.attacks import AttackResult, Decoys
from excise.reporting.charts import Series
from excise.reporting.page.looks import cell, table
from excise.reporting.page.parts import Fold, Part, Table, Text
from excise.reporting.record import Record
from excise.reporting.verdict import concept_name
from excise.reporting.wording import listed, points


def floors(attack: AttackResult, record: Record, series: Sequence[Series]) -> list[Part]:
    """Both floors beside each other; nothing where there were no decoys."""
    decoys = attack.decoys
    if decoys is None:
        return []
    oracle = record.arm("oracle")
    # The decoys were tried on the ladder, whose budget is not that of the attack beside it.
    rung = next((one for one in attack.rungs if one.key == decoys.rung), None)
    names = listed([f"“{name}”" for name in decoys.each])
    rows: list[tuple[str, ...]] = []
    if oracle is not None and rung is not None and oracle.key in rung.rates:
        floor = cell(rung.rates[oracle.key])
        rows.append(("oracle floor", concept_name(record), oracle.label, floor, "–"))
    rows += [
        ("decoy floor", names, one.label, cell(decoys.floors[one.key]), agreement(decoys, one.key))
        for one in series
        if one.key in decoys.floors
    ]
    at = "" if rung is None else f" at the budget of the ladder's step “{rung.label}”"
    asked = f"within {points(decoys.within)} of the oracle floor?"
    found: list[Part] = [
        Text(
            heading="How much a search finds where there is nothing",
            body="A free enough search makes a model draw things that it never knew. Two floors "
            f"say how often that happens{at}: the same search for the concept on a "
            "model that was trained without it (the oracle), and for other things that none of "
            "these models was ever shown (decoys). Where the two agree, decoys can stand in for an "
            "oracle, which few people have.",
        ),
        Table(
            head=("floor", "searched for", "on the model", "found in", asked),
            rows=tuple(rows),
            numeric=False,
        ),
    ]
    if len(decoys.each) > 1:
        shown = table("searched for", list(decoys.each.items()), series)
        found.append(Fold(title="Each decoy", parts=(shown,)))
    return found


def agreement(decoys: Decoys, arm: str) -> str:
    """Whether an arm's floor is near the oracle's, in words; a dash without an oracle."""
    gap = decoys.gaps.get(arm)
    if gap is None:
        return "–"
    span = "" if gap.low is None or gap.high is None else f" ({_span(gap.low, gap.high)})"
    answer = "yes" if decoys.agrees(arm) else "no"
    text = f"{answer}, apart by {points(gap.value)}{span}"
    ends = (gap.low, gap.high)
    if decoys.agrees(arm) and any(end is not None and abs(end) > decoys.within for end in ends):
        text += "; too few pictures to be sure"
    return text


def _span(low: float, high: float) -> str:
    return f"{points(low).split()[0]} to {points(high).split()[0]}"
