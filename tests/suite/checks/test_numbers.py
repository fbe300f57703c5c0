from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reporting import factory
from tests.suite.checks.staged import bench, empty, evidence, look

from excise.primitives.probe import Look
from excise.reporting import Check, Excess, Report
from excise.stats import Interval
from excise.suite.book import Book
from excise.suite.checks.numbers import not_finite, power
from excise.types import Score


@pytest.fixture(scope="module")
def report() -> Report:
    return factory.record()


def numbers(book: Book | None = None, **looks: Look) -> list[Check]:
    own = bench(looks={(arm, "probe"): found for arm, found in looks.items()})
    return list(not_finite(evidence(own, empty(), book=book or Book())))


def test_a_score_that_is_no_number_is_an_error() -> None:
    fine = look(torch.tensor([[0.1], [0.9]]))
    assert numbers(edit=fine) == []
    odd = look(torch.tensor([[torch.nan], [0.9]]))
    (check,) = numbers(base=fine, edit=odd)
    assert check.level == "error"
    assert "1 of plain pictures of “after”" in check.found


def test_scores_under_attack_are_looked_at_too() -> None:
    book = Book()
    values = torch.tensor([0.2, torch.nan, torch.inf])
    score = Score(concept="cat", judge="j", values=values, threshold=0.5)
    book.enter("concept_inversion/t4", "edit", score, prompts=["a"] * 3, seeds=[0, 1, 2])
    (check,) = numbers(book=book)
    assert check.name == "scores_not_finite"
    assert "2 of pictures of “after” (concept_inversion/t4)" in check.found


def test_a_figure_that_is_no_number_is_left_out_and_said() -> None:
    book = Book()
    found = {
        "edit": Interval(value=np.nan, low=0.0, high=1.0, level=0.95),
        "base": Interval(value=0.5, low=0.4, high=0.6, level=0.95),
    }
    assert list(book.estimates("the loss", found)) == ["base"]
    (check,) = numbers(book=book)
    assert check.name == "figures_not_finite"
    assert "the loss, edit" in check.found


@pytest.mark.parametrize(
    ("upper", "level", "chance"), [(0.02, "info", ">99.9"), (0.2, "warning", "21")]
)
def test_power_is_that_of_the_spread_which_was_seen(
    report: Report, upper: float, level: str, chance: str
) -> None:
    excess = Excess(attack="concept_inversion", value=0.0, upper=upper)
    (check,) = power(evidence(record=report.record.model_copy(update={"excess": excess})))
    assert check.level == level
    assert f"probability of {chance}" in check.meaning
    assert "240 pictures" in check.found
    assert list(power(evidence(record=report.record.model_copy(update={"excess": None})))) == []


def test_an_edit_that_is_just_within_the_margin_at_every_try_has_even_odds(report: Report) -> None:
    excess = Excess(attack="concept_inversion", value=0.03, upper=0.13)  # as wide as the margin
    (check,) = power(evidence(record=report.record.model_copy(update={"excess": excess})))
    assert "probability of 50" in check.meaning
