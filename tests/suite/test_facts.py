"""What a report says of those who looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.suite import two
from tests.suite.test_evaluate import SMALL, arms

from excise.judges.classifier import Classifier
from excise.models.load import ASSETS
from excise.suite.bench import Bench
from excise.suite.facts import judges
from excise.suite.jury import Jury


@dataclass(frozen=True, kw_only=True)
class Checked(two.Two):
    """Somebody measured its false alarms."""

    @property
    def false_alarms(self) -> dict[str, float]:
        return {"cat": 0.003, "dog": 0.4}


def bench(*panels: Any) -> Bench:
    base = arms()[0]
    return Bench(arms={base.key: base}, concept=two.CAT, judge=Jury(panels=panels), sizes=SMALL)


def test_false_alarms_are_said_of_the_concept_by_whom_they_are_known() -> None:
    first, second = judges(bench(Checked(), two.AUDITOR))
    assert first.false_alarms is not None
    assert first.false_alarms.value == 0.003
    assert second.false_alarms is None


def test_the_embedded_models_own_judges_know_theirs() -> None:
    both = [Classifier(folder=str(ASSETS / name)) for name in ("judge", "auditor")]
    for found in judges(bench(*both)):
        assert found.false_alarms is not None
        assert 0 < found.false_alarms.value <= 0.005
