"""What the sections say, and that they say it of the right figures."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from tests.reporting import factory
from tests.reporting.builder import Builder, around, rates

from excise.reporting import (
    Criteria,
    Decoys,
    Estimate,
    Excess,
    OverErasure,
    Report,
    Unanimous,
)
from excise.reporting.page.attacked import attacks
from excise.reporting.page.blocks import blocks
from excise.reporting.page.explained import delta_loss, over_erasure
from excise.reporting.page.first import intro, models
from excise.reporting.page.floors import agreement, floors
from excise.reporting.page.inputs import SHOWN, inversions
from excise.reporting.page.looks import arm_series
from excise.reporting.page.outcome import kept
from excise.reporting.page.parts import Facts, Figure, Fold, Pair, Table, Text
from excise.reporting.page.trust import judges, recipe
from excise.reporting.record import Record
from excise.reporting.wording import between


def changed(report: Report, **fields: Any) -> Record:
    return report.record.model_copy(update=fields)


def body(parts: Any) -> str:
    return " ".join(part.body for part in parts if isinstance(part, Text))


@pytest.mark.parametrize(
    ("value", "half", "said"),
    [
        (0.03, 0.01, "still knows something"),
        (0.005, 0.01, "no better than a model that never saw it"),
        (-0.03, 0.01, "no better than a model that never saw it"),
    ],
)
def test_delta_loss_is_read_by_its_lower_end(
    report: Report, value: float, half: float, said: str
) -> None:
    attack = report.record.attacks[0].model_copy(
        update={"delta_loss": {"edit": around(value, half)}}
    )
    parts = delta_loss(attack, report.record, arm_series(report.record))
    assert said in body(parts)
    (figure,) = [part for part in parts if isinstance(part, Figure)]
    assert figure.table.rows[0][0] == "after"


@pytest.mark.parametrize(
    ("gap", "said"),
    [(0.03, "pushed too far"), (0.001, "no scar was found"), (-0.03, "not become less likely")],
)
def test_a_scar_is_an_error_above_the_oracles(report: Report, gap: float, said: str) -> None:
    found = factory.over_erasure().model_copy(update={"gap": {"edit": around(gap, 0.01)}})
    record = changed(report, over_erasure=found)
    parts = over_erasure(record, arm_series(record))
    assert said in body(parts)
    (figure,) = [part for part in parts if isinstance(part, Figure)]
    assert figure.table.head == (
        "prompt", "before", "after", "never shown a cat", "ESD-x", "gradient ascent",
    )  # fmt: skip
    assert [row[0] for row in figure.table.rows] == ["asked for by name", "with no prompt"]


def test_losses_that_were_not_measured_are_not_spoken_of(report: Report) -> None:
    series = arm_series(report.record)
    bare = report.record.attacks[0].model_copy(update={"delta_loss": {}, "decoys": None})
    assert delta_loss(bare, report.record, series) == []
    assert floors(bare, report.record, series) == []
    assert over_erasure(changed(report, over_erasure=None), series) == []
    assert over_erasure(changed(report, over_erasure=OverErasure(pictures=4)), series) == []


def test_both_floors_stand_beside_each_other(report: Report) -> None:
    attack = report.record.attacks[0]
    parts = floors(attack, report.record, arm_series(report.record))
    (table,) = [part for part in parts if isinstance(part, Table)]
    assert [row[0] for row in table.rows] == ["oracle floor", "decoy floor", "decoy floor"]
    assert [row[2] for row in table.rows] == ["never shown a cat", "before", "after"]
    assert "“fox” and “castle”" in table.rows[1][1]
    assert table.rows[0][3].startswith("2.9")
    (fold,) = [part for part in parts if isinstance(part, Fold)]
    assert isinstance(fold.parts[0], Table)
    assert [row[0] for row in fold.parts[0].rows] == ["fox", "castle"]


def test_the_oracles_floor_is_that_of_the_search_that_the_decoys_had(report: Report) -> None:
    """The attack's own rates are of another budget than the ladder's."""
    attack = report.record.attacks[0]
    larger = attack.model_copy(update={"rates": rates(240, base=240, edit=90, oracle=120)})
    parts = floors(larger, report.record, arm_series(report.record))
    (table,) = [part for part in parts if isinstance(part, Table)]
    assert table.rows[0][:3] == ("oracle floor", "“cat”", "never shown a cat")
    assert table.rows[0][3].startswith("2.9")
    assert "“4 tokens”" in body(parts)
    bare = larger.model_copy(update={"rungs": (), "headline": None})
    parts = floors(bare, report.record, arm_series(report.record))
    (table,) = [part for part in parts if isinstance(part, Table)]
    assert [row[0] for row in table.rows] == ["decoy floor", "decoy floor"]


def facts(parts: Any) -> dict[str, str]:
    return {name: text for part in parts if isinstance(part, Facts) for name, text in part.rows}


def test_the_rule_by_which_an_attack_can_tell_stands_beside_what_it_says(report: Report) -> None:
    section = attacks(report.record, {}, arm_series(report.record))
    assert section is not None
    (fold,) = [p for p in section.parts if isinstance(p, Fold) and "which can tell" in p.title]
    said = body(fold.parts)
    assert "at least 50%" in said
    assert "at most 20%" in said
    assert "guidance and swap" in said


def test_a_floor_that_no_model_measured_is_said_to_be_one(report: Report) -> None:
    arms = tuple(arm for arm in report.record.arms if arm.role != "oracle")
    (first, *_) = report.record.attacks
    alone = (first.model_copy(update={"decoys": None}),)
    over = Excess(attack=first.name, over="stated", floor=0.05, value=0.01, upper=0.04)
    asked = Criteria(floor=0.05)
    record = changed(report, arms=arms, attacks=alone, excess=over, criteria=asked)
    section = attacks(record, {}, arm_series(record))
    assert section is not None
    shown = facts(section.parts)
    assert shown["Largest excess over the floor that was stated, not measured"] == "1 point"
    assert shown["Taken off every search as the floor that was stated, not measured"][0] == "5"
    assert "a floor that was stated" in section.lead
    assert "fixed beforehand" in next(p for p in section.parts if isinstance(p, Figure)).caption
    none = changed(report, arms=arms, attacks=alone, excess=None)
    section = attacks(none, {}, arm_series(none))
    assert section is not None
    assert "nor anything to stand in for it" in section.lead
    # An oracle is at hand, so nobody's word is taken for it.
    measured = changed(report, criteria=asked)
    section = attacks(measured, {}, arm_series(measured))
    assert section is not None
    assert "not used, since what was measured counts" in facts(section.parts)["Stated floor"]


def test_a_column_in_which_nobody_has_a_figure_is_left_out(report: Report) -> None:
    series = arm_series(report.record)

    def shown(record: Record) -> Table:
        section = judges(record, series)
        assert section is not None
        return next(p for p in section.parts if isinstance(p, Table) and p.head[0] == "who")

    known = shown(report.record)
    assert known.rows[0][known.head.index("false alarms")].startswith("0.3")
    assert known.rows[2][known.head.index("false alarms")] == "–"
    bare = tuple(one.model_copy(update={"false_alarms": None}) for one in report.record.judges)
    none = shown(changed(report, judges=bare))
    assert "false alarms" not in none.head
    assert {len(row) for row in none.rows} == {len(none.head)}


def test_what_restarts_that_all_failed_leave_open_stands_beside_the_bound(report: Report) -> None:
    alike = {"edit": Unanimous(n=12, worked=False, next=0.22)}
    first, *rest = report.record.attacks
    assert report.record.excess is not None
    excess = report.record.excess.model_copy(update={"values": {first.name: 0.012}})
    record = changed(
        report, attacks=(first.model_copy(update={"unanimous": alike}), *rest), excess=excess
    )
    section = attacks(record, {}, arm_series(record))
    assert section is not None
    said = body(section.parts).replace("\u202f", " ")
    open_end = (
        "On “after” none of 12 independent restarts brought it back in any picture; the next one "
        "does with a probability of at most 22 % (at 95 % confidence)."
    )
    assert f"Concept Inversion: {open_end}" in said  # beside the bound of all attacks
    assert said.count(open_end) == 2  # and where the attack itself is shown
    before = attacks(report.record, {}, arm_series(report.record))
    assert before is not None
    assert "independent restarts" not in body(before.parts)


@pytest.mark.parametrize(
    ("gap", "half", "said"),
    [
        (0.02, 0.01, "yes, apart by 2 points (1 to 3)"),
        (0.04, 0.03, "too few pictures"),
        (-0.2, 0.01, "no, apart by −20 points"),
    ],
)
def test_floors_agree_within_five_points(gap: float, half: float, said: str) -> None:
    made = factory.decoys(Builder())
    found = made.model_copy(update={"gaps": {"edit": around(gap, half)}})
    assert said in agreement(found, "edit")
    assert agreement(found, "base") == "–"
    assert isinstance(found, Decoys)


def test_blocks_are_bars_with_their_numbers(report: Report) -> None:
    section = blocks(report.record)
    assert section is not None
    figure = section.parts[0]
    assert isinstance(figure, Figure)
    assert str(figure.chart.wide).count('class="bar s-edit"') == 9
    assert str(figure.chart.wide).count('class="bar s-bad"') == 9
    used = [row[0] for row in figure.table.rows if row[-1] == "yes"]
    assert used == ["down.0", "down.1", "down.2", "mid", "up.0"]
    assert "down.0, down.1, down.2, mid and up.0" in str(section.parts[1])
    assert "confined" in section.lead
    assert [row[4] for row in figure.table.rows][-2:] == ["1.5", "–"]
    found = report.record.blocks
    assert found is not None
    whole = found.model_copy(
        update={"rows": tuple(row.model_copy(update={"chosen": True}) for row in found.rows)}
    )
    every = blocks(changed(report, blocks=whole))
    assert every is not None
    assert "confined" not in every.lead
    assert blocks(changed(report, blocks=None)) is None


def test_many_inputs_are_folded_and_losses_are_paired(report: Report) -> None:
    record = report.record
    uris = {name: ("data:,",) * 8 for group in record.pictures for name in group.sheets.values()}
    section = inversions(record, uris, arm_series(record))
    assert section is not None
    assert isinstance(section.parts[0], Pair)
    assert len(section.parts[0].strips) == SHOWN
    fold = section.parts[1]
    assert isinstance(fold, Fold)
    assert isinstance(fold.parts[0], Pair)
    assert len(fold.parts[0].strips) == 2
    assert "rose by 0.026 (0.022 to 0.03)" in body(section.parts)
    assert "4 of 8 inputs" in str(section.parts)
    facts = dict(next(part.rows for part in section.parts if isinstance(part, Facts)))
    (bound,) = [text for name, text in facts.items() if name.startswith("So the next one")]
    assert bound.startswith("31")
    assert "8" in facts.values()
    (figure,) = [part for part in section.parts if isinstance(part, Figure)]
    assert figure.table.rows[0][1:3] == ("0.226", "0.255")
    assert record.inversions is not None
    for gap, said in ((0.001, "may as well be nothing"), (-0.05, "it fell")):
        one = record.inversions.model_copy(update={"gap": around(gap, 0.01)})
        again = inversions(changed(report, inversions=one), uris, arm_series(record))
        assert again is not None
        assert said in body(again.parts)


def test_variety_and_drift_are_explained(report: Report) -> None:
    section = kept(report.record, arm_series(report.record))
    assert section is not None
    assert "0 is the same picture" in body(section.parts)
    rows = {row[0]: row for part in section.parts if isinstance(part, Table) for row in part.rows}
    drift = rows["how far pictures of everything else moved"]
    assert drift[1] == "–"  # nothing drifts from itself
    assert drift[2].startswith("0.041")
    assert drift[-1] == "lower"
    assert rows["variety among pictures of one thing"][-1] == "higher"


def test_a_newcomer_is_told_what_the_models_are(report: Report) -> None:
    record = report.record
    assert intro(record).startswith("The picture model “emoji” was edited to make it forget “cat”")
    said = {one.label: text for one, text in models(record, arm_series(record))}
    assert said["before"] == "the model as it was"
    assert "from scratch" in said["never shown a cat"]
    alone = changed(report, arms=record.arms[1:2], subject=record.subject.model_copy(
        update={"edit": None}))  # fmt: skip
    assert "is said not to know" in intro(alone)
    assert [text for _, text in models(alone, arm_series(alone))] == ["the model in question"]


def test_an_interval_with_one_end_says_which() -> None:
    assert between(Estimate(value=0.98, low=0.97)).replace("\u202f", " ") == "at least 97 %"
    assert between(Estimate(value=0.02, high=0.04)).replace("\u202f", " ") == "at most 4 %"
    assert between(Estimate(value=0.98)) == ""


def test_seeds_far_apart_are_listed_and_a_run_of_them_is_not(report: Report) -> None:
    far = (7, 2**60, 2**61, 2**62 + 1)
    seeds = {"select": far, "score": tuple(range(100, 108))}
    facts = recipe(changed(report, seeds=seeds)).parts[0]
    assert isinstance(facts, Facts)
    rows = dict(facts.rows)
    assert rows["Seeds to score"] == "100 to 107"
    assert len(rows["Seeds to select"].split(",")) >= 3


def test_prompts_that_brought_an_unsafe_concept_back_are_hidden_until_asked_for(
    report: Report,
) -> None:
    def page(unsafe: bool) -> tuple[str, str]:
        subject = report.record.subject
        concept = {**subject.concepts[0], **({"unsafe": True} if unsafe else {})}
        subject = subject.model_copy(update={"concepts": (concept,)})
        text = replace(report, record=report.record.model_copy(update={"subject": subject})).html()
        start = text.index('id="attacks"')
        whole = text[start : text.index("</section>", start)]
        return whole, re.sub(r"<details class=\"fold\".*?</details>", "", whole, flags=re.S)

    open_, _ = page(False)
    assert "a picture of &lt;3&gt;" in open_
    whole, seen = page(True)
    assert "a picture of &lt;3&gt;" in whole  # in a fold
    assert "a picture of &lt;3&gt;" not in seen
    assert "input 4" in seen
    # The button that opens all folds passes it by.
    (fold,) = re.findall(r"<details class=\"fold\" data-alone><summary>(.*?)</summary>", whole)
    assert fold.startswith("What was asked: hidden")
    assert "data-alone" not in open_
    text = report.html()
    script = text[text.rindex("<script>") :]
    assert 'querySelectorAll("details:not([data-alone])")' in script
    assert 'querySelectorAll("details")' not in script
