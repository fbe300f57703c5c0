from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.suite.arena import battery
from tests.suite.checks.staged import empty, evidence, names

from excise.attacks.enumerate import Enumerate
from excise.primitives.gradients import Flow
from excise.suite.checks.attacking import (
    black_box_beats_white_box,
    gradients_vanish,
    no_budget_does_as_well,
)

WHITE, BLACK = {"needs": {"gradients", "pictures"}}, {"needs": {"prompts", "feedback"}}
PLAIN = {"needs": {"prompts"}, "rewords": False}
NAMED = [1] * 12 + [0] * 4


def seen(rows: dict[str, dict[str, Any]], **kinds: Any) -> Any:
    return evidence(record=empty(), battery=battery(rows, **kinds)[1])


def test_a_search_that_fails_on_the_base_says_nothing_of_the_edit() -> None:
    rows = {
        "reseed": {"base": NAMED, "edit": 0, "oracle": 0},
        "works": {"base": 1, "edit": 0, "oracle": 0},
        "idle": {"base": NAMED, "edit": 0, "oracle": 0},
    }
    kinds = {"reseed": PLAIN, "works": WHITE, "idle": WHITE}
    (check,) = no_budget_does_as_well(seen(rows, **kinds))
    assert "Idle" in check.found
    assert "Works" not in check.found
    del rows["idle"]
    assert names(no_budget_does_as_well(seen(rows, **kinds))) == []


def test_where_plain_prompts_show_it_anyway_nothing_is_left_to_reach() -> None:
    rows = {
        "reseed": {"base": 1, "edit": 0, "oracle": 0},
        "idle": {"base": 1, "edit": 0, "oracle": 0},
    }
    assert names(no_budget_does_as_well(seen(rows, reseed=PLAIN, idle=WHITE))) == []


def test_who_has_gradients_must_not_reach_less() -> None:
    rows = {
        "white": {"base": 1, "edit": 0.16, "oracle": 0},
        "black": {"base": 1, "edit": 1, "oracle": 0},
    }
    (check,) = black_box_beats_white_box(seen(rows, white=WHITE, black=BLACK))
    assert check.found.startswith("Black")
    rows["white"]["edit"] = 1
    assert names(black_box_beats_white_box(seen(rows, white=WHITE, black=BLACK))) == []
    # Who starts from a picture of it, or has another model, is no black box.
    rows["white"]["edit"] = 0
    injecting = {**BLACK, "kind": "injecting"}
    assert names(black_box_beats_white_box(seen(rows, white=WHITE, black=injecting))) == []
    owner = {"needs": {"prompts", "base"}}
    assert names(black_box_beats_white_box(seen(rows, white=WHITE, black=owner))) == []
    # Who reads losses and takes no gradient shows as well that those were masked.
    reader = {"needs": set(Enumerate.needs)}
    (check,) = black_box_beats_white_box(seen(rows, white=WHITE, black=reader))
    assert check.found.startswith("Black")


def guarded(hooked: float, declared: str = "differentiable") -> Any:
    """A gradient attack on a guard through which so much of the gradient comes."""
    found = battery({"white": {"base": 1, "edit": 0, "oracle": 0}}, white=WHITE)[1]
    flow = Flow(hooks=(("Guard", declared),), levels=(0.3, 0.7), hooked=(hooked,) * 2,
                plain=(1.0, 1.0))  # fmt: skip
    one = replace(found.results["white"]["edit"], gradients=flow)
    found.results["white"]["edit"] = one  # type: ignore[index]
    return evidence(record=empty(), battery=found)


def test_a_guard_that_lets_no_gradient_through_is_told() -> None:
    for hooked in (0.0, 1e-6, float("nan")):
        (check,) = gradients_vanish(guarded(hooked))
        assert (check.name, check.level) == ("gradients_vanish", "error")
        assert "White" in check.found
    assert names(gradients_vanish(guarded(0.4))) == []
    assert names(gradients_vanish(seen({"white": {"edit": 0}}, white=WHITE))) == []


def test_a_guard_that_is_gone_around_is_named() -> None:
    (check,) = gradients_vanish(guarded(1.0, "none"))
    assert (check.name, check.level) == ("gradients_gone_around", "info")
    assert "Guard" in check.found
