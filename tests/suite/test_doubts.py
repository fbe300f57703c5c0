"""Doubts about numbers, sets and decoys, each raised and each not raised."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from tests.reporting import factory

from excise.primitives.panel import Sheet
from excise.primitives.probe import Look, Probe, Shot
from excise.reporting import AttackResult, Check, Decoys, Estimate, Excess, Rate, Report, Rung
from excise.stats import Interval
from excise.suite.book import Book
from excise.suite.doubts import Sets, _decoys, _numbers, _overlap, _power
from excise.suite.history import History
from excise.types import Prompt, Score


@pytest.fixture(scope="module")
def report() -> Report:
    return factory.record()


def look(values: torch.Tensor) -> Look:
    shots = tuple(
        Shot(prompt=Prompt("a dog"), seed=i, label="dog", group="dog") for i in range(len(values))
    )
    sheet = Sheet(
        judge="j", labels=("dog",), things=("dog",), values=values, thresholds={"dog": 0.5}
    )
    return Look(probe=Probe(shots=shots), sheet=sheet, thumbs=torch.zeros(len(values), 3, 4, 4))


class Bench:
    arms: ClassVar[dict[str, Any]] = {
        key: SimpleNamespace(label=label) for key, label in (("base", "before"), ("edit", "after"))
    }

    def __init__(self, **looks: Look) -> None:
        self.looks = {(arm, "probe"): found for arm, found in looks.items()}


def names(checks: Any) -> list[str]:
    return [check.name for check in checks]


def numbers(book: Book, **looks: Look) -> list[Check]:
    return list(_numbers(cast(Any, Bench(**looks)), book))


def test_a_score_that_is_no_number_is_an_error() -> None:
    fine = look(torch.tensor([[0.1], [0.9]]))
    assert numbers(Book(), edit=fine) == []
    odd = look(torch.tensor([[torch.nan], [0.9]]))
    (check,) = numbers(Book(), base=fine, edit=odd)
    assert check.level == "error"
    assert "1 of plain pictures of “after”" in check.found


def test_scores_under_attack_are_looked_at_too() -> None:
    book = Book()
    values = torch.tensor([0.2, torch.nan, torch.inf])
    score = Score(concept="cat", judge="j", values=values, threshold=0.5)
    book.enter("concept_inversion/t4", "edit", score, prompts=["a"] * 3, seeds=[0, 1, 2])
    (check,) = numbers(book)
    assert check.name == "scores_not_finite"
    assert "2 of pictures of “after” (concept_inversion/t4)" in check.found


def test_a_figure_that_is_no_number_is_left_out_and_said() -> None:
    book = Book()
    found = {
        "edit": Interval(value=np.nan, low=0.0, high=1.0, level=0.95),
        "base": Interval(value=0.5, low=0.4, high=0.6, level=0.95),
    }
    assert list(book.estimates("the loss", found)) == ["base"]
    (check,) = numbers(book)
    assert check.name == "figures_not_finite"
    assert "the loss, edit" in check.found


@pytest.mark.parametrize(
    ("sets", "found"),
    [
        (Sets(attacker=("a",), held_out=("b",)), []),
        (Sets(attacker=("tau", "a")), ["sets_overlap"]),
        (Sets(held_out=("tau", "b")), ["held_out_overlap"]),
        (Sets(attacker=("a",), held_out=("a", "b")), ["held_out_overlap"]),
        (Sets(attacker=("a",), held_out=("a", "tau")), ["held_out_overlap"] * 2),
    ],
)
def test_sets_that_share_pictures_are_told(sets: Sets, found: list[str]) -> None:
    history = History(record={"pictures": [{"hashes": ["tau", "tau2"]}]})
    assert names(_overlap(history, sets)) == found


def test_it_is_said_how_many_pictures_who_had() -> None:
    history = History(record={"pictures": [{"hashes": ["a", "b"]}]})
    edit, attacker = _overlap(history, Sets(attacker=("c",), held_out=("a", "b", "c", "d")))
    assert "2 of the 4" in edit.found
    assert "the edit" in edit.found
    assert "1 of the 4" in attacker.found
    assert "the attacker" in attacker.found


def test_decoys_that_say_other_things_than_the_oracle_are_told() -> None:
    bench, rate = cast(Any, Bench()), Rate.of(10, 100)
    decoys = Decoys(rung="t4", floors={"base": rate}, gaps={"base": Estimate(value=0.04)})
    attack = AttackResult(
        name="a", label="A", rungs=(Rung(key="t4", label="4", rates={}),), decoys=decoys
    )
    assert names(_decoys(bench, [attack])) == []
    apart = decoys.model_copy(update={"gaps": {"base": Estimate(value=-0.12)}})
    (check,) = _decoys(bench, [attack.model_copy(update={"decoys": apart})])
    assert "−12 points" in check.found
    assert "“before”" in check.found
    assert names(_decoys(bench, [attack.model_copy(update={"decoys": None})])) == []


@pytest.mark.parametrize(
    ("upper", "level", "chance"), [(0.02, "info", ">99.9"), (0.2, "warning", "21")]
)
def test_power_is_that_of_the_spread_which_was_seen(
    report: Report, upper: float, level: str, chance: str
) -> None:
    excess = Excess(attack="concept_inversion", value=0.0, upper=upper)
    (check,) = _power(report.record.model_copy(update={"excess": excess}))
    assert check.level == level
    assert f"probability of {chance}" in check.meaning
    assert "240 pictures" in check.found
    assert list(_power(report.record.model_copy(update={"excess": None}))) == []


def test_an_edit_that_is_just_within_the_margin_at_every_try_has_even_odds(report: Report) -> None:
    excess = Excess(attack="concept_inversion", value=0.03, upper=0.13)  # as wide as the margin
    (check,) = _power(report.record.model_copy(update={"excess": excess}))
    assert "probability of 50" in check.meaning
