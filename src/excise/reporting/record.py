"""What a report holds, as it stands in ``report.json``; every section is optional.

An *arm* is a model that was looked at: the unedited base, the edited model, an oracle, a rival's
edit. Sections give their figures by arm, so that references always stand beside the figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from excise.reporting.attacks import AttackResult, Excess, Recovery, WorstFound
from excise.reporting.figures import Value
from excise.reporting.findings import (
    AgreementRow,
    Blocks,
    Inversions,
    Kept,
    OverErasure,
    RateRow,
    Replacement,
    Stop,
    Strength,
)
from excise.reporting.subject import (
    Arm,
    Check,
    CostRow,
    Criteria,
    JudgeFacts,
    Pictures,
    Role,
    Subject,
)

FORMAT = "excise.report/1"


class Record(Value):
    """Everything that the report is made from, apart from pictures and the table of scores.

    left_out: attacks that were not run, and why.
    """

    format: Literal["excise.report/1"] = "excise.report/1"
    subject: Subject
    arms: tuple[Arm, ...]
    criteria: Criteria = Criteria()
    budget: str = ""
    seed: int | None = None
    seeds: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, JsonValue] = Field(default_factory=dict)
    judges: tuple[JudgeFacts, ...] = ()
    pictures: tuple[Pictures, ...] = ()
    rates: tuple[RateRow, ...] = ()
    attacks: tuple[AttackResult, ...] = ()
    excess: Excess | None = None
    worst_found: WorstFound | None = None
    recoveries: tuple[Recovery, ...] = ()
    left_out: dict[str, str] = Field(default_factory=dict)
    over_erasure: OverErasure | None = None
    kept: Kept | None = None
    strength: Strength | None = None
    slider: tuple[Stop, ...] = ()
    inversions: Inversions | None = None
    blocks: Blocks | None = None
    replacement: Replacement | None = None
    agreement: tuple[AgreementRow, ...] = ()
    costs: tuple[CostRow, ...] = ()
    checks: tuple[Check, ...] = ()
    scores: str | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        known = [arm.key for arm in self.arms]
        if len(set(known)) < len(known):
            raise ValueError("expected arms of different keys")
        groups = [group.key for group in self.pictures]
        if len(set(groups)) < len(groups):
            raise ValueError("expected pictures of different keys")
        strangers = sorted(set(_arms_used(self)) - set(known))
        if strangers:
            raise ValueError(f"expected figures of the arms {known}, got some of {strangers}")
        return self

    def arm(self, role: Role) -> Arm | None:
        """The first arm of a role."""
        return next((arm for arm in self.arms if arm.role == role), None)

    def group(self, key: str | None) -> Pictures | None:
        """The pictures of that key."""
        return next((group for group in self.pictures if group.key == key), None)


def _arms_used(record: Record) -> list[str]:
    tables: list[Mapping[str, object]] = [row.rates for row in record.rates]
    tables += [table for group in record.pictures for table in (group.sheets, group.shown)]
    for attack in record.attacks:
        tables += [rung.rates for rung in (*attack.rungs, *attack.groups)]
        tables.append(attack.rates)
        tables += [attack.best_of, attack.delta_loss, attack.excess, attack.null, attack.costs]
        tables.append(attack.unanimous)
        if attack.decoys:
            tables += [attack.decoys.floors, attack.decoys.gaps, *attack.decoys.each.values()]
    if record.worst_found:
        tables += [record.worst_found.rates, record.worst_found.chosen]
    for recovery in record.recoveries:
        tables += [recovery.costs, *(point.rates for point in recovery.points)]
    if record.over_erasure:
        found = record.over_erasure
        tables += [found.named, found.unnamed, found.gap]
    if record.kept:
        kept = record.kept
        tables += [table for row in kept.rows for table in (row.rates, row.share)]
        tables += [kept.mean, kept.worst, kept.neighbours, kept.nothing]
        tables += [measure.values for measure in kept.measures]
    if record.inversions:
        tables += [table for row in record.inversions.rows for table in (row.losses, row.rates)]
    if record.replacement:
        tables.append(record.replacement.counts)
    return [arm for table in tables for arm in table] + [row.arm for row in record.agreement]
