"""Which rows no other beats, what beats the default, and how often each was tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import compared
import plots
import pytest
from experiments import HEALED, HEALED_SEEDS, OTHER
from methods import METHODS
from rivals import RIVALS
from variants import DEFAULT

SHOWN = {
    "plain": [0.01, 0.03], "kept": [0.98, 0.96], "worst_label": "dog", "near": 0.9,
    "touched": 10, "hooks": 0, "bytes": 1000, "seconds": 3.2, "peak_bytes": 2**30,
    "worst_found": {"base": 1.0, "edit": 0.25, "oracle": 0.0}, "pictures": 5,
}  # fmt: skip


def row(method: str, upper: float, low: float, **given: Any) -> dict[str, Any]:
    return {
        "concept": "cat", "budget": "quick", "method": method, "excess": [upper, upper],
        "worst": [low, low], **given,
    }  # fmt: skip


def test_the_front_has_what_no_other_row_beats_in_both_ways() -> None:
    rows = [
        row("gone", 0.05, 0.6), row("kept", 0.6, 0.99), row("between", 0.2, 0.9),
        row("beaten", 0.3, 0.8), row("elsewhere", 0.9, 0.1, concept="dog"),
        {"concept": "cat", "method": "refused", "budget": "quick", "why": "no"},
    ]  # fmt: skip
    assert [one["method"] for one in compared.front(rows)] == [
        "gone", "kept", "between", "elsewhere",
    ]  # fmt: skip


def test_a_method_that_beats_the_default_is_said_to_in_a_sentence_a_concept() -> None:
    default = row(DEFAULT, 0.2, 0.8, **SHOWN)
    rows = [
        default, row("esd", 0.2, 0.9, **SHOWN), row("uce", 0.1, 0.85, **SHOWN),
        row("rece", 0.1, 0.7, **SHOWN),
        row("sld", 0.9, 0.99, **SHOWN), row("esd", 0.0, 1.0, concept="dog", **SHOWN),
        {**default, "concept": "dog", "excess": [0.0, 0.0], "worst": [1.0, 1.0]},
        row("esd", 0.0, 1.0, concept="owl", **SHOWN),
        {"concept": "owl", "method": DEFAULT, "budget": "quick", "why": "not finite"},
    ]  # fmt: skip
    cat, dog, owl = compared.beaten(rows)
    assert cat == (
        "**cat: the default (20.0; 80.0) is beaten by esd (20.0; 90.0), uce (10.0; 85.0).**"
    )
    assert dog == "dog: of 1 other rows none beats the default (0.0; 100.0)."  # it is as good
    assert owl == "owl: the default has no figures that could be compared."
    text = compared.page(rows)
    assert f"- {cat}\n- {dog}\n- {owl}\n" in text
    # A table of another budget has sentences of its own.
    harder = [{**one, "budget": "standard"} for one in (default, row("sld", 0.9, 0.99, **SHOWN))]
    text = compared.page([*rows, *harder])
    assert "- cat: of 1 other rows none beats the default (20.0; 80.0)." in text
    assert f"- {cat}" in text


def test_unequal_trials_are_seen() -> None:
    for method, own in RIVALS.items():
        assert compared.tried(method) == str(len(own))
    often = compared.tried(DEFAULT)
    for concept in OTHER:
        assert often.startswith(f"{len(HEALED) + len(OTHER[concept])} on {len(HEALED_SEEDS)} seeds")
    assert compared.tried("of somebody's own") == "0"
    assert [compared.tried(name) for name in compared.BASELINES] == ["–", "–"]


@pytest.mark.parametrize("name", METHODS)
def test_how_often_a_method_was_tried_stands_in_its_row(name: str) -> None:
    cells = compared.cells({"concept": "cat", "method": name, "why": "no"}, False)
    assert dict(zip(compared.HEAD, cells, strict=True))["tried"] == compared.tried(name)
    assert compared.tried(name) != "–"


def test_a_front_is_of_one_budget() -> None:
    rows = [row("uce", 0.3, 0.9), row("esd", 0.4, 0.8), row("esd", 0.5, 0.8, budget="standard")]
    assert compared.fronts(rows, "quick") == {"cat": {"uce": (0.3, 0.9), "esd": (0.4, 0.8)}}
    assert compared.fronts(rows, "standard") == {"cat": {"esd": (0.5, 0.8)}}


def test_fronts_are_drawn(tmp_path: Path) -> None:
    rows = [row("uce", 0.3, 0.9), row("esd", 0.4, 0.8, concept="dog")]
    plots.fronts(compared.fronts(rows, "quick"), tmp_path / "front.svg")
    assert (tmp_path / "front.svg").stat().st_size > 1000


def test_the_page_shows_every_row_and_marks_the_front() -> None:
    rows = [row("uce", 0.3, 0.9, **SHOWN), row("esd", 0.4, 0.8, **SHOWN)]
    text = compared.page(rows)
    lines = [line for line in text.splitlines() if line.startswith("| cat")]
    assert len(lines) == 2
    assert "**uce**" in lines[0]
    assert "**esd**" not in lines[1]
    assert "100 / 25 / 0" in lines[0]
    assert {line.count("|") for line in lines} == {len(compared.HEAD) + 1}
    assert "figures/methods-quick.svg" in text
    assert "figures/methods-standard.svg" not in text
