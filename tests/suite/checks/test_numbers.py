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


def test_a_search_that_broke_off_is_an_error() -> None:
    own = bench(diverged={"relearn": "on “after”: expected a finite loss, got nan"})
    (check,) = not_finite(evidence(own, empty()))
    assert (check.name, check.level) == ("losses_not_finite", "error")
    assert check.found.endswith("ended: relearn.")
    assert "on “after”" in check.meaning


def bound(quantile: float = 1.645, **widths: float) -> Excess:
    """Attacks that lie nowhere above the oracle, with bounds so wide."""
    return Excess(
        attack="concept_inversion",
        value=0.0,
        upper=max(widths.values()),
        values=dict.fromkeys(widths, 0.0),
        uppers=widths,
        quantiles=dict.fromkeys(widths, quantile),
    )


def powers(report: Report, excess: Excess | None) -> list[Check]:
    return list(power(evidence(record=report.record.model_copy(update={"excess": excess}))))


@pytest.mark.parametrize(
    ("upper", "level", "chance"), [(0.02, "info", ">99.9"), (0.2, "warning", "21")]
)
def test_power_is_that_of_the_spread_which_was_seen(
    report: Report, upper: float, level: str, chance: str
) -> None:
    (check,) = powers(report, bound(concept_inversion=upper))
    assert check.level == level
    assert f"probability of at most {chance}" in check.meaning
    assert "240 pictures" in check.found
    assert ("pictures of each would do" in check.advice) == (level == "warning")
    if level == "warning":  # (1 + 0.8416 / 1.645) twice as wide as the margin: 240 * 3.023 ** 2
        assert "2\u202f194" in check.advice
    assert powers(report, None) == []


def test_an_edit_that_is_just_within_the_margin_at_every_try_has_even_odds(report: Report) -> None:
    wide = bound(concept_inversion=0.1)  # as wide as the margin
    moved = wide.model_copy(
        update={"values": {"concept_inversion": 0.03}, "uppers": {"concept_inversion": 0.13}}
    )
    for excess in (wide, moved, bound(quantile=5.0, concept_inversion=0.1)):
        (check,) = powers(report, excess)
        assert "probability of at most 50" in check.meaning


def test_power_is_of_one_attack_and_of_the_quantile_that_its_bound_used(report: Report) -> None:
    # The widest bound is one attack's, the largest estimate another's: no width is between them.
    excess = bound(concept_inversion=0.3, negative_prompt=0.05)
    (check,) = powers(report, excess.model_copy(update={"values": {
        "concept_inversion": 0.0, "negative_prompt": 0.04}, "value": 0.04}))  # fmt: skip
    assert "Concept Inversion" in check.found
    assert "14" in check.meaning  # 1.645 (1/3 - 1) standard errors, and not 0.1 / 0.26
    (surer,) = powers(report, bound(quantile=3.0, concept_inversion=0.3))
    assert "2.3" in surer.meaning
