from __future__ import annotations

from typing import Any

import pytest
from tests.suite.checks.staged import bench, empty, evidence, names

from excise.reporting import AgreementRow, AttackResult, Decoys, Estimate, Rate, Rung
from excise.suite.checks.judging import floors_differ, judges_disagree


def told(*attacks: AttackResult) -> Any:
    return evidence(record=empty().model_copy(update={"attacks": attacks}))


def test_decoys_that_say_other_things_than_the_oracle_are_told() -> None:
    rate = Rate.of(10, 100)
    decoys = Decoys(rung="t4", floors={"base": rate}, gaps={"base": Estimate(value=0.04)})
    attack = AttackResult(
        name="a", label="A", rungs=(Rung(key="t4", label="4", rates={}),), decoys=decoys
    )
    assert names(floors_differ(told(attack))) == []
    apart = decoys.model_copy(update={"gaps": {"base": Estimate(value=-0.12)}})
    (check,) = floors_differ(told(attack.model_copy(update={"decoys": apart})))
    assert "−12 points" in check.found
    assert "“before”" in check.found
    assert names(floors_differ(told(attack.model_copy(update={"decoys": None})))) == []


@pytest.mark.parametrize(("auditor", "raised"), [(52, []), (60, ["judges_disagree"])])
def test_judges_that_see_other_things_are_told(auditor: int, raised: list[str]) -> None:
    rates = {"judge": Rate.of(50, 100), "auditor": Rate.of(auditor, 100)}
    row = AgreementRow(label="plain prompts", arm="edit", rates=rates)
    record = empty().model_copy(update={"agreement": (row,)})
    own = bench(jury=object())
    assert names(judges_disagree(evidence(own, record))) == raised
    assert names(judges_disagree(evidence(bench(), empty()))) == ["one_judge"]
