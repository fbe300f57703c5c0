from __future__ import annotations

from typing import Any

import pytest
from tests.reporting import factory
from tests.reporting.builder import Builder, around, rates

from excise.reporting import Excess, RateRow, Report, Verdict
from excise.reporting.verdict import figures, verdict


def of(report: Report, **changes: Any) -> Verdict:
    return verdict(report.record.model_copy(update=changes))


def plain(**found: int) -> tuple[RateRow, ...]:
    return (
        RateRow(key="plain", label="plain", kind="plain", judge="judge", rates=rates(240, **found)),
    )


def test_the_first_screen_in_two_sentences(report: Report) -> None:
    found = report.verdict
    assert found.status == "erased"
    assert found.reasons == ()
    plain = found.headline.replace("\u202f", " ")
    assert plain == (
        "“cat” no longer appears: 0 of 480 pictures (at most 0.8 %). "
        "98 % of everything else is still drawn."
    )
    assert "4.2" in found.attack
    assert "71" in found.attack


def excess(value: float, upper: float) -> Excess:
    return Excess(attack="concept_inversion", value=value, upper=upper)


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"rates": plain(edit=24)}, "present", "still appears: 24 of 240"),
        ({"rates": plain(edit=4)}, "undecided", "was seen in 4 of 240"),
        ({"rates": ()}, "unmeasured", "Nobody looked"),
        ({"attacks": (), "excess": None}, "untested", "no longer appears"),
        ({"excess": excess(0.2, 0.3)}, "returns", "no longer"),
        ({"excess": excess(0.05, 0.12)}, "undecided", "0 of"),
        ({"kept": factory.kept(worst=0.5)}, "damaged", "98"),
        ({"strength": factory.strength(feasible=False)}, "infeasible", "takes 2.2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_failure_has_its_word(
    report: Report, changes: dict[str, Any], status: str, said: str
) -> None:
    found = of(report, **changes)
    assert found.status == status
    assert said in found.headline


@pytest.mark.parametrize(
    ("changes", "status", "short"),
    [
        ({}, "not_found", "first look: not found"),
        ({"kept": factory.kept(worst=0.5)}, "not_found_damaged", "with damage"),
        ({"attacks": (), "excess": None}, "not_found_untested", "not attacked"),
        ({"kept": None}, "not_found_unkept", "was not measured"),
        ({"excess": excess(0.2, 0.3)}, "returns", "comes back"),
        ({"excess": excess(0.05, 0.12)}, "undecided", "too few"),
        ({"rates": plain(edit=24)}, "present", "not erased"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_first_look_claims_nothing_and_hides_nothing(
    report: Report, changes: dict[str, Any], status: str, short: str
) -> None:
    found = of(report, budget="quick", **changes)
    assert found.status == status
    assert short in found.short
    if status.startswith("not_found"):
        assert "erased" not in found.short
        assert "gone" not in found.short
        assert "erased" in of(report, **changes).short or changes == {"kept": None}


def test_what_brings_it_back_is_said_plainly(report: Report) -> None:
    strong = (factory.attack(Builder(), edit=93),)
    found = of(report, attacks=strong, excess=None)
    assert found.status == "returns"
    assert found.attack.startswith("But a search")
    assert any("points more often" in reason for reason in found.reasons)


def test_without_an_oracle_the_rate_itself_must_be_small(report: Report) -> None:
    arms = tuple(arm for arm in report.record.arms if arm.role != "oracle")
    assert of(report, arms=arms, excess=None).status == "erased"
    strong = (factory.attack(Builder(), edit=40),)
    assert of(report, arms=arms, excess=None, attacks=strong).status == "returns"


def test_a_ruined_model_is_never_called_erased(report: Report) -> None:
    kept = report.record.kept
    assert kept is not None
    ruined = kept.model_copy(update={"mean": {"edit": around(0.3, 0.05)}})
    found = of(report, kept=ruined)
    assert found.status == "damaged"
    assert "Only 30" in found.headline


def test_the_attack_that_counts_is_a_confirmatory_one(report: Report) -> None:
    first = figures(report.record).attack
    assert first is not None
    assert first.name == "concept_inversion"
    weak = [a.model_copy(update={"confirmatory": False}) for a in report.record.attacks]
    assert of(report, attacks=tuple(weak), excess=None).status == "untested"


def test_a_concept_without_a_word_has_an_article(report: Report) -> None:
    subject = report.record.subject.model_copy(
        update={"concepts": ({"name": "watermark", "kind": "implicit"},)}
    )
    assert of(report, subject=subject).headline.startswith("The watermark no longer appears")


def test_pictures_of_nothing_are_damage(report: Report) -> None:
    kept = report.record.kept
    assert kept is not None
    blank = kept.model_copy(update={"nothing": rates(600, base=4, edit=40, oracle=5)})
    found = of(report, kept=blank)
    assert found.status == "damaged"
    assert any(text.startswith("In 6 points more of the pictures") for text in found.reasons)
