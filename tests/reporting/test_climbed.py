"""The ladder, decoys and sequential tests: found again from what was kept, at any threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.suite.test_returned import result

from excise.reporting.attacks import AttackResult, Rung
from excise.reporting.attempts import Attempts
from excise.reporting.climbed import decided, floors, ladder_figures, rung_rates
from excise.reporting.tried import again

ARMS = {"base": "base", "edit": "edit", "oracle": "oracle"}


def kept(**others: Any) -> Attempts:
    """Two rungs on three models, one decoy, and the pictures of one sequential test."""
    rates = {"base": 0.9, "edit": 0.3, "oracle": 0.05}
    rungs = {
        key: {arm: result(rate, i) for i, (arm, rate) in enumerate(rates.items())}
        for key in ("t1", "t4")
    }
    decoys = {"fox": {"base": result(0.1, 5), "edit": result(0.05, 6)}}
    drawn = {"concept_inversion": torch.linspace(0.2, 0.45, 60)}
    return Attempts(**{"rungs": rungs, "best_of": 4, "decoys": decoys, "drawn": drawn, **others})


def row(tried: Attempts) -> AttackResult:
    """As the suite makes one where the ladder stands alone."""
    return AttackResult(
        name="concept_inversion",
        label="Concept Inversion",
        decided=decided(tried, "concept_inversion", 0.5, 0.1),
        rungs=tuple(Rung(key=key, label=key, rates=rung_rates(tried, key)) for key in tried.rungs),
        headline="t4",
        decoys=floors(ARMS, tried, "t4"),
        **ladder_figures(ARMS, tried, "t4"),
    )


def test_packed_and_unpacked_at_the_same_threshold_nothing_changes() -> None:
    tried = kept()
    before = row(tried)
    same = Attempts.unpacked(*tried.packed()).at(0.5)
    assert again(before, ARMS, same, 0.5) == before


def test_at_another_threshold_every_figure_is_found_again() -> None:
    tried = kept()
    before = row(tried)
    low = again(before, ARMS, tried.at(0.0), 0.0)  # every picture shows it
    assert {rate.value for rung in low.rungs for rate in rung.rates.values()} == {1.0}
    assert low.excess["edit"].value == 0.0 < before.excess["edit"].value
    assert low.decoys is not None
    assert low.decoys.floors["edit"].value == 1.0
    assert low.decoys.gaps["edit"].value == 0.0
    assert low.best_of["edit"].rate == pytest.approx((1.0,) * 4)
    assert low.decided is not None
    assert before.decided is not None
    assert (before.decided.side, low.decided.side) == ("below", "above")
    assert low.decided.n < before.decided.n  # it stops as soon as it is plain


def test_a_test_that_would_go_on_for_longer_than_it_did_is_left_open() -> None:
    few = kept(drawn={"a": torch.tensor([0.4] + [0.1] * 5)})
    assert decided(few, "a", 0.3, 0.1).side is None
    assert decided(few, "a", 0.3, 0.1).n == 6


def test_tests_of_several_attacks_share_their_error() -> None:
    values = torch.full((200,), 0.1)
    alone, among = (
        decided(kept(drawn=dict.fromkeys(names, values)), "a", 0.5, 0.1)
        for names in ("a", "abcdefgh")
    )
    assert alone.side == "below"
    assert among.n > alone.n


def test_what_was_not_kept_is_left_out() -> None:
    gone = again(row(kept()), ARMS, Attempts(), 0.5)
    assert (gone.rungs, gone.decoys, gone.decided) == ((), None, None)
    assert (gone.best_of, gone.excess) == ({}, {})


def test_without_an_oracle_decoys_have_nothing_to_be_held_against() -> None:
    made = floors({"base": "base", "edit": "edit"}, kept(), "t4")
    assert made is not None
    assert made.gaps == {}
    assert made.agrees("base") is None
    assert floors(ARMS, kept(decoys={}), "t4") is None


def test_the_floor_is_the_mean_over_decoys_and_is_held_against_the_oracle() -> None:
    found = {
        "fox": {"base": result(0.1, 1), "edit": result(0.0, 2)},
        "castle": {"base": result(0.0, 3), "edit": result(0.0, 4)},
    }
    made = floors(ARMS, kept(decoys=found), "t4")
    assert made is not None
    both = [found[name]["base"].best_of(4) for name in found]
    assert made.floors["base"].value == pytest.approx(sum(both) / 2)
    assert made.floors["edit"].value == 0.0
    one = floors(ARMS, kept(decoys={"fox": replace_edit(found["fox"])}), "t4")
    assert one is not None
    assert made.floors["edit"].high < one.floors["edit"].high  # twice the pictures
    oracle = kept().rungs["t4"]["oracle"].best_of(4)
    assert made.gaps["base"].value == pytest.approx(sum(both) / 2 - oracle)
    assert made.each["fox"]["base"].value == pytest.approx(both[0])


def replace_edit(by: dict[str, Any]) -> dict[str, Any]:
    """The same with nothing reached on the edit."""
    return {**by, "edit": replace(by["edit"], score=torch.zeros_like(by["edit"].score))}
