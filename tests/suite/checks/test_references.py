from __future__ import annotations

from typing import Any

import pytest
from tests.reporting import factory
from tests.suite.checks.staged import bench, empty, evidence, names

from excise.reporting import Excess, Rate, RateRow
from excise.suite.checks import CHECKS, raised
from excise.suite.checks.references import (
    base_lacks_concept,
    no_record,
    not_verified,
    nothing_to_keep,
    oracle_shows_concept,
    references_missing,
)
from excise.suite.history import History


def plain(base: int, oracle: int) -> Any:
    """A report of plain use."""
    rates = {"base": Rate.of(base, 100), "edit": Rate.of(0, 100), "oracle": Rate.of(oracle, 100)}
    rows = [
        RateRow(key=kind, label=kind, kind=kind, judge="j", rates=rates)  # type: ignore[arg-type]
        for kind in ("plain", "word")
    ]
    return empty().model_copy(update={"rates": tuple(rows)})


def test_a_model_that_never_drew_it_cannot_lose_it() -> None:
    assert names(base_lacks_concept(evidence(record=plain(20, 0)))) == ["base_lacks_concept"]
    assert names(base_lacks_concept(evidence(record=plain(95, 0)))) == []


def test_what_is_seen_on_the_oracle_is_a_false_alarm() -> None:
    assert names(oracle_shows_concept(evidence(record=plain(95, 9)))) == ["oracle_shows_concept"]
    assert names(oracle_shows_concept(evidence(record=plain(95, 1)))) == []


def test_what_is_not_there_is_said() -> None:
    alone = evidence(bench("edit"), empty())
    assert names(references_missing(alone)) == ["no_base", "no_oracle"]
    assert names(references_missing(evidence(record=empty()))) == []
    *_, oracle = references_missing(alone)
    assert "nobody can tell" in oracle.meaning
    floor = Excess(attack="p4d", over="stated", floor=0.05, value=0.0, upper=0.02)
    stated = empty().model_copy(update={"excess": floor})
    *_, oracle = references_missing(evidence(bench("edit"), stated))
    assert "a floor that was stated" in oracle.meaning


def test_an_evaluation_without_anything_kept_would_pass_a_model_that_draws_nothing() -> None:
    assert names(nothing_to_keep(evidence(record=empty()))) == ["nothing_to_keep"]
    assert names(nothing_to_keep(evidence(record=empty(), whole=False))) == []
    assert names(nothing_to_keep(evidence())) == []


@pytest.mark.parametrize("verified", [True, False])
def test_a_strength_that_nobody_saw_work_is_told(verified: bool) -> None:
    record = factory.record().record
    assert record.subject.edit is not None
    edit = record.subject.edit.model_copy(update={"verified": verified})
    record = record.model_copy(update={"subject": record.subject.model_copy(update={"edit": edit})})
    assert names(not_verified(evidence(record=record))) == ([] if verified else ["not_verified"])


def test_an_edit_of_which_nobody_knows_how_it_was_made_is_told() -> None:
    made = factory.record().record
    (check,) = no_record(evidence(record=made))
    assert (check.name, check.level) == ("no_record", "info")
    assert names(no_record(evidence(record=made, history=History(record={"costs": {}})))) == []
    assert names(no_record(evidence(record=empty()))) == []  # a model that was handed over


def test_every_check_says_when_it_is_raised_and_why() -> None:
    for look in CHECKS:
        text = look.__doc__ or ""
        assert "Raised if:" in text, look
        assert "Explanation:" in text, look


def test_all_are_asked() -> None:
    found = names(raised(evidence(bench("edit"), empty(), whole=True)))
    assert {"no_base", "no_oracle", "one_judge", "nothing_to_keep"} <= set(found)
