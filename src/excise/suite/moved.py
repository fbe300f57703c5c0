"""A report at another threshold, with the doubts that follow from rates raised again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from excise.reporting.attempts import Attempts, By
from excise.reporting.record import Record
from excise.reporting.report import Report
from excise.reporting.subject import Arm, Check
from excise.reporting.thresholds import DROPPED
from excise.suite.book import Book
from excise.suite.checks.attacking import black_box_beats_white_box, no_budget_does_as_well
from excise.suite.checks.base import Evidence, Looks
from excise.suite.checks.judging import floors_differ, judges_disagree
from excise.suite.checks.numbers import power
from excise.suite.checks.references import base_lacks_concept, oracle_shows_concept

RATES: tuple[Looks, ...] = (
    base_lacks_concept,
    oracle_shows_concept,
    judges_disagree,
    floors_differ,
    power,
)
"""Checks that follow from the figures of a record; see `thresholds.FOLLOWING`."""

ATTACKS: tuple[Looks, ...] = (no_budget_does_as_well, black_box_beats_white_box)
"""Those that follow from what attacks reached, picture by picture."""


def moved(report: Report, threshold: float) -> Report:
    """The report at another threshold of its judge, and what is to be doubted of it there.

    Doubts that have nothing to do with rates stay. Those about attacks need the values that attacks
    reached; where these were not kept, a check says that nobody could raise them.

    Raises as `Report.at`.
    """
    found = report.at(threshold)
    tried = None if found.scores is None else found.scores.attempts
    seen = _evidence(found.record, None if tried is None else tried.at(threshold))
    kept = [check for check in found.record.checks if check.name != DROPPED]
    *others, said = kept
    again = [check for look in RATES for check in look(seen)]
    if seen.battery is not None:
        again += [check for look in ATTACKS for check in look(seen)]
    elif found.record.attacks:
        again.append(_unknown())
    return replace(
        found, record=found.record.model_copy(update={"checks": (*others, *again, said)})
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Bench:
    """What these checks ask of a bench."""

    arms: Mapping[str, Arm]
    jury: bool = True  # that one judge looked alone is no matter of thresholds

    def role(self, role: str) -> Arm | None:
        return next((arm for arm in self.arms.values() if arm.role == role), None)


@dataclass(frozen=True, kw_only=True)
class _Attack:
    """What these checks ask of an attack."""

    kind: str
    rewords: bool
    needs: frozenset[str]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Battery:
    """What these checks ask of a battery."""

    asked: tuple[str, ...]
    attacks: Mapping[str, _Attack]
    results: By
    attempts: Attempts


def _evidence(record: Record, tried: Attempts | None) -> Evidence:
    """What a record and the values of its attacks say; of no model, and of no picture."""
    battery: Any = None
    if tried is not None and tried.results:
        needs = {one.name: frozenset(one.needs) for one in record.attacks}
        known = {name: by for name, by in tried.results.items() if name in needs}
        battery = _Battery(
            asked=tried.groups,
            attacks={
                name: _Attack(kind=kind, rewords=rewords, needs=needs[name])
                for name, (kind, rewords) in tried.kinds.items()
                if name in known
            },
            results=known,
            attempts=tried,
        )
    bench = _Bench(arms={arm.key: arm for arm in record.arms})
    return Evidence(bench=cast(Any, bench), book=Book(), record=record, battery=battery)


def _unknown() -> Check:
    return Check(
        name=DROPPED,
        found="Whether the attacks attack was not asked again: what they reached was not kept.",
        meaning="The doubts that stood here were about another threshold, and are left out.",
        advice="Evaluate again.",
    )
