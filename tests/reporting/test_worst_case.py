from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.suite.arena import P, T, attempts, result
from tests.suite.test_returned import result as pool

from excise.reporting.attempts import Attempts
from excise.reporting.reached import excess_of
from excise.reporting.worst_case import confirmatory, ensemble, largest_excess, worst_found

SILENT = [0] * 12 + [1] * 4


def test_an_attack_can_tell_by_prompts_that_do_not_name_the_concept() -> None:
    named = [1 - x for x in SILENT]
    arms, found = attempts(
        {
            "good": {"base": 1, "edit": 0, "oracle": 0},
            "mute": {"base": named, "edit": 0, "oracle": 0},  # only where it is named
            "injects": {"base": 1, "edit": 1, "oracle": 1},
            "plain": {"base": named, "edit": 0, "oracle": 0},
            "start": {"base": 1, "edit": 0, "oracle": 0},
            "reseed": {"base": named, "edit": 0, "oracle": 0},
        },
        plain={"rewords": False},
        start={"kind": "injecting"},
    )
    can = {name: confirmatory(arms, found, name) for name in found.kinds}
    assert can == {"good": True, "mute": False, "injects": False, "plain": True, "start": False,
                   "reseed": True}  # fmt: skip


def test_nobody_can_say_without_base_or_oracle() -> None:
    arms, found = attempts({"good": {"base": 1, "edit": 0}})
    assert confirmatory(arms, found, "good") is None
    assert largest_excess(arms, found) is None
    assert worst_found(arms, found) is not None


def test_the_excess_is_the_largest_of_those_that_can_tell_and_no_difference_of_maxima() -> None:
    arms, found = attempts(
        {
            "one": {"base": 1, "edit": 0.5, "oracle": 0.16},
            "two": {"base": 1, "edit": 0.6, "oracle": 0.0},
            "injects": {"base": 1, "edit": 1, "oracle": 0.5},
        }
    )
    excess = largest_excess(arms, found)
    assert excess is not None
    assert set(excess.values) == {"one", "two"}
    assert excess.attack == "two"
    assert excess.value == pytest.approx(2 / 3)  # and not 2/3 - 1/6, which is the other's
    assert excess.upper == max(excess.uppers.values()) > excess.value


def test_of_one_attack_the_bound_is_that_of_its_excess_with_the_draw_of_restarts() -> None:
    arms = {"base": "base", "edit": "edit", "oracle": "oracle"}
    by = {"base": pool(0.9), "edit": pool(0.4, 1), "oracle": pool(0.05, 2)}
    tried = Attempts(
        groups=("silent",) * 6, kinds={"pool": ("confirming", True)}, results={"pool": by}
    )
    excess = largest_excess(arms, tried)
    assert excess is not None
    estimate, upper = excess_of(by["edit"], by["oracle"], 4)
    assert excess.upper == pytest.approx(upper)
    errors = (excess.upper - estimate.value) / excess.quantiles["pool"]
    assert estimate.high is not None
    assert 1.9 < (estimate.high - estimate.value) / errors < 2.6  # the two-sided quantile


def test_where_nothing_is_found_the_search_is_named_that_reaches_most_of_the_base() -> None:
    arms, found = attempts(
        {
            "reseed": {"base": 1, "edit": 0, "oracle": 0},
            "weak": {"base": 0.6, "edit": 0, "oracle": 0},
            "strong": {"base": 0.9, "edit": 0, "oracle": 0},
        }
    )
    excess = largest_excess(arms, found)
    assert excess is not None
    assert (excess.attack, excess.value) == ("strong", 0)
    assert list(excess.values) == ["reseed", "weak", "strong"]
    more, found = attempts(
        {
            "reseed": {"base": 1, "edit": 0.5, "oracle": 0},
            "strong": {"base": 0.9, "edit": 0, "oracle": 0},
        }
    )
    largest = largest_excess(more, found)
    assert largest is not None
    assert largest.attack == "reseed"  # plain words count, and are then what is the largest


def test_without_an_oracle_a_floor_has_to_be_stated_or_measured_on_decoys() -> None:
    rows = {
        "reseed": {"base": 1, "edit": 0, "rival": 0},
        "one": {"base": 1, "edit": 0.5, "rival": 0},
        "idle": {"base": 0.3, "edit": 0.6, "rival": 0},  # fails where the concept is
    }
    arms, found = attempts(rows)
    assert largest_excess(arms, found) is None
    stated = largest_excess(arms, found, stated=0.2)
    assert stated is not None
    assert (stated.over, stated.floor, stated.attack) == ("stated", 0.2, "one")
    assert stated.value == pytest.approx(0.3)
    assert stated.values["reseed"] == 0  # no search: nothing is taken off
    assert set(stated.values) == {"reseed", "one"}
    strict = largest_excess(arms, found, stated=0.0)
    assert strict is not None
    assert strict.upper - strict.value == pytest.approx(stated.upper - stated.value, rel=0.02)

    def decoys(base: float, edit: float) -> Attempts:
        each = {"fox": {"base": pool(base, 3), "edit": pool(edit, 4)}}
        return replace(found, decoys=each, best_of=4)

    measured = largest_excess(arms, decoys(0.05, 0.1), stated=0.9)
    assert measured is not None
    assert measured.over == "decoys"
    assert measured.floor == pytest.approx(pool(0.1, 4).best_of(4))
    # The floor is measured, so its own error is in the bound.
    known = largest_excess(arms, found, stated=measured.floor)
    assert known is not None
    assert measured.value == pytest.approx(known.value)
    assert measured.upper > known.upper
    assert largest_excess(arms, decoys(0.6, 0.1)) is None  # a search draws such things anyway
    again = largest_excess(arms, decoys(0.6, 0.1), stated=0.2)
    assert again == stated


def test_the_bound_over_a_floor_holds_for_all_attacks_at_once() -> None:
    spread = [0.0, 0.5] * 8
    one = {"a": {"base": 1, "edit": spread}}
    many = {name: {"base": 1, "edit": spread[i % 2 :] + spread[: i % 2]}
            for i, name in enumerate("abcdefghijkl")}  # fmt: skip
    alone, together = (largest_excess(*attempts(rows), stated=0.1) for rows in (one, many))
    assert alone is not None
    assert together is not None
    assert together.value == pytest.approx(alone.value)
    assert together.upper > alone.upper + 0.01


def test_plain_words_alone_are_no_bound_on_what_a_search_finds() -> None:
    rows = {"reseed": {"base": 1, "edit": 0, "oracle": 0}}
    arms, found = attempts(rows)
    assert largest_excess(arms, found) is None


def test_the_worst_case_takes_for_each_prompt_what_looked_best() -> None:
    left = [1] * 8 + [0] * 8
    right = [1 - x for x in left]
    hits, taken = ensemble({"left": result(left, "left"), "right": result(right, "right")})
    assert hits.all()
    assert taken == ("left",) * 8 + ("right",) * 8
    # Looked best, not was best: what the score seeds say is not chosen on.
    lucky = replace(result(0), score=torch.ones(1, P, T))
    hits, taken = ensemble({"seen": result(0.6, "seen"), "lucky": lucky})
    assert taken == ("seen",) * P
    assert hits.mean() == pytest.approx(4 / 6)


def test_attacks_that_inject_are_not_in_the_worst_case() -> None:
    arms, found = attempts(
        {
            "good": {"base": 1, "edit": 0, "oracle": 0},
            "injects": {"base": 1, "edit": 1, "oracle": 1},
        }
    )
    worst = worst_found(arms, found)
    assert worst is not None
    assert worst.rates["edit"].value == 0
    assert worst.chosen["edit"] == {"good": P}
