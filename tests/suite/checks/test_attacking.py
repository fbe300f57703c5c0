from __future__ import annotations

from typing import Any

from tests.suite.arena import battery
from tests.suite.checks.staged import empty, evidence, names

from excise.suite.checks.attacking import black_box_beats_white_box, no_budget_does_as_well

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
