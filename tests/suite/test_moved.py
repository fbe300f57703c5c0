"""At another threshold the doubts are those of that threshold, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.reporting import factory
from tests.suite import arena

from excise.attacks.result import AttackResult as Found
from excise.reporting import AttackResult, Check, Report
from excise.reporting.attempts import Attempts
from excise.reporting.thresholds import FOLLOWING, at_threshold
from excise.suite import checks, moved
from excise.suite.arms import Arm
from excise.suite.book import Book
from excise.suite.checks import Evidence
from excise.suite.moved import ATTACKS, RATES

NEEDS: dict[str, Any] = {
    "reseed": {"rewords": False, "needs": {"prompts"}},
    "p4d": {"needs": {"prompts", "gradients"}},
    "random_search": {"needs": {"prompts", "feedback"}},
}
OTHER = Check(name="sets_overlap", level="error", found="Pictures overlap.")


def faint(one: Found) -> Found:
    """Every picture shows it at 0.4, which is below the threshold."""
    return replace(one, select=one.select * 0 + 0.4, score=one.score * 0 + 0.4)


def tried() -> tuple[Any, Any]:
    """A bench and a battery: p4d reaches the base, random search draws it faintly everywhere."""
    bench, battery = arena.battery(
        {name: {"base": rate, "edit": 0, "oracle": 0}
         for name, rate in (("reseed", 0), ("p4d", 1), ("random_search", 0))},
        **NEEDS,
    )  # fmt: skip
    found = {**battery.results, "random_search": {
        arm: faint(one) for arm, one in battery.results["random_search"].items()
    }}  # fmt: skip
    labels = {"base": "before", "edit": "after", "oracle": "never shown a cat"}
    bench.arms = _arms(labels)
    return bench, replace(battery, results=found)


def _arms(labels: dict[str, str]) -> dict[str, Any]:
    nobody: Any = None
    return {
        role: Arm(key=role, label=label, role=role, model=nobody)  # type: ignore[arg-type]
        for role, label in labels.items()
    }


@pytest.fixture(scope="module")
def report() -> Report:
    """A report with the values of three attacks, and the doubts that stood there at 0.5."""
    made = factory.record()
    _, battery = tried()
    attempts: Attempts = battery.attempts
    rows = tuple(
        AttackResult(name=name, label=name, needs=tuple(sorted(own["needs"])))
        for name, own in NEEDS.items()
    )
    assert made.scores is not None
    return replace(
        made,
        record=made.record.model_copy(update={"attacks": rows, "checks": (OTHER,)}),
        scores=replace(made.scores, attempts=attempts),
    )


def names(report: Report) -> set[str]:
    return {check.name for check in report.record.checks}


@pytest.mark.parametrize(
    ("threshold", "there", "gone"),
    [
        (0.5, {"no_budget_does_as_well"},
         {"black_box_beats_white_box", "base_lacks_concept", "oracle_shows_concept"}),
        # Random search reaches base and edit now, which gradients do not.
        (0.3, {"black_box_beats_white_box", "oracle_shows_concept"},
         {"no_budget_does_as_well", "base_lacks_concept"}),
        (0.99, {"base_lacks_concept"}, {"oracle_shows_concept", "black_box_beats_white_box"}),
    ],
)  # fmt: skip
def test_doubts_come_and_go_with_the_threshold(
    report: Report, threshold: float, there: set[str], gone: set[str]
) -> None:
    found = names(moved(report, threshold))
    assert there <= found
    assert not gone & found
    assert {"sets_overlap", "threshold"} <= found  # what no threshold decides stays
    assert "doubts_left_out" not in found


def test_a_doubt_about_the_old_threshold_is_gone(report: Report) -> None:
    old = moved(report, 0.5)
    again = moved(old, 0.3)
    assert "no_budget_does_as_well" in names(old) - names(again)
    back = moved(again, 0.5)
    assert back.record.checks[:-1] == old.record.checks[:-1]
    assert [check.name for check in back.record.checks].count("threshold") == 1


def test_without_anybody_to_raise_them_again_doubts_are_left_out_and_that_is_said(
    report: Report,
) -> None:
    assert report.scores is not None
    old = moved(report, 0.5).record
    bare = at_threshold(old, report.scores, 0.5)
    left = {check.name for check in bare.checks}
    assert left == {"sets_overlap", "threshold", "doubts_left_out"}
    blind = moved(replace(report, scores=replace(report.scores, attempts=None)), 0.5)
    assert "doubts_left_out" in names(blind)  # nobody kept what attacks reached
    assert not FOLLOWING & {"threshold", "doubts_left_out"}
    (said,) = [check for check in blind.record.checks if check.name == "threshold"]
    assert "the rates of reseed, p4d, random_search and Relearn" in said.advice
    assert all(one.rates == {} for one in blind.record.attacks)


def test_at_its_own_threshold_a_report_has_the_doubts_of_the_evaluation(report: Report) -> None:
    bench, battery = tried()
    found = moved(report, 0.5)
    seen = Evidence(bench=bench, book=Book(), record=found.record, battery=battery)
    told = [check for look in ATTACKS for check in look(seen)]
    assert told
    assert [one for one in found.record.checks if one in told] == told


def test_every_check_that_reads_rates_is_among_them() -> None:
    assert {look.__name__ for look in (*RATES, *ATTACKS)} == FOLLOWING
    assert {*RATES, *ATTACKS} <= set(checks.CHECKS)


def test_what_searches_excluded_at_the_old_threshold_is_not_said_of_the_new(
    report: Report,
) -> None:
    assert report.record.inversions is not None
    assert report.record.inversions.survival is not None
    found = moved(report, 0.3).record
    assert found.inversions is not None
    assert (found.inversions.checked, found.inversions.survival) == (None, None)
    (said,) = [check for check in found.checks if check.name == "threshold"]
    assert "the strength curve" in said.advice
    assert "what searches on the edit while it was made exclude" in said.advice
