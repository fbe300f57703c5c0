"""The page of experiments says what was asked, and every point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controls import WAYS
from pages import ASKED, frozen, page

from excise.store import write_json


def point(**given: Any) -> dict[str, Any]:
    return {
        "concept": "cat",
        "plain": 0.02,
        "rungs": {"t4": {"base": 0.73, "edit": 0.1, "oracle": 0.03}},
        "kept": 0.982,
        "kept_low": 0.961,
        "worst": 0.79,
        "worst_label": "dog",
        "near": None,
        **given,
    }


def test_every_point_is_a_row_under_what_was_asked(tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    rows = [
        point(maker="plain", alpha=1.5),
        point(settings={"hard": 2.0}, alpha=1.0),
        point(settings={}, alpha=1.0, seed=0),
        point(settings={}, alpha=1.0, seed=1),
        point(method="esd", settings={"lr": 1e-4}, near=0.9, headline="t4"),
        {"concept": "cat", "method": "esd", "settings": {"lr": 1.0}, "why": "not finite"},
    ]
    write_json(folder / "healing.json", rows)
    page(folder, tmp_path / "experiments.md")
    text = (tmp_path / "experiments.md").read_text(encoding="utf-8")
    assert ASKED["healing"] in text
    assert ASKED["parts"] not in text
    assert "experiments/healing.svg" in text
    table = [line for line in text.splitlines() if line.startswith("| cat")]
    assert [line.split(" | ")[1] for line in table] == [
        "plain", "hard 2.0", "the default", "the default, seed 1", "esd: lr 0.0001", "esd: lr 1.0",
    ]  # fmt: skip
    assert "73 → 10 (t4) | 7 | 98.2 (96.1) | dog 79" in table[0]
    assert "not finite" in table[5]
    assert all(line.count("|") == table[0].count("|") for line in table)


def test_a_sets_strength_stands_by_its_size(tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    rows = [
        {"concept": "cat", "set": kind, "alpha": alpha, "seed": 0, "hits": [hits] * 32, "looks": 32}
        for kind in ("repulsed", "fresh")
        for alpha, hits in ((1.0, 30), (2.0, 0), (3.0, 0))
    ]
    write_json(folder / "strength.json", rows)
    page(folder, tmp_path / "experiments.md")
    text = (tmp_path / "experiments.md").read_text(encoding="utf-8")
    assert text.count("| cat | repulsed | 2.00 |") == 1
    assert "| cat | fresh | " + " | ".join(["2.00"] * 6) + " |" in text
    write_json(folder / "strength.json", [{**row, "hits": [30] * 32} for row in rows])
    page(folder, tmp_path / "experiments.md")
    text = (tmp_path / "experiments.md").read_text(encoding="utf-8")
    assert "| cat | fresh | " + " | ".join(["> 3"] * 6) + " |" in text


def test_the_page_says_that_the_default_was_tried_more_often(tmp_path: Path) -> None:
    page(tmp_path / "none", tmp_path / "experiments.md")
    text = " ".join((tmp_path / "experiments.md").read_text(encoding="utf-8").split())
    assert "The default was tried more often than any rival." in text
    assert f"among {len(WAYS) + 1} ways and controls" in text


def test_what_could_not_be_made_wins_nothing() -> None:
    failed = {"concept": "cat", "method": "esd", "settings": {"lr": 1.0}, "why": "not finite"}
    assert "- esd, object (cat): none of them could be made" in frozen([failed])
    made = frozen([failed, point(method="esd", settings={"lr": 0.1})])
    assert "- esd, object (cat): `lr` 0.1" in made
    assert "- esd, style (sketch): none of them could be made" in made


def test_the_drift_is_a_row_a_block_without_a_plot(tmp_path: Path) -> None:
    row = {"concept": "cat", "block": "mid", "tau": 2.0, "drift": 1.5, "cosine": 0.25}
    write_json(tmp_path / "experiments" / "drift.json", [row])
    page(tmp_path / "experiments", tmp_path / "experiments.md")
    text = (tmp_path / "experiments.md").read_text(encoding="utf-8")
    assert "| cat | mid | 2.00 | 1.50 | +0.25 |" in text
    assert "drift.svg" not in text


def test_ways_stand_beside_each_other_at_matched_excess(tmp_path: Path) -> None:
    rows = [point(maker=name, alpha=1.0) for name in ("plain", "generic")]
    write_json(tmp_path / "experiments" / "parts.json", rows)
    page(tmp_path / "experiments", tmp_path / "experiments.md")
    text = (tmp_path / "experiments.md").read_text(encoding="utf-8")
    assert text.count("| cat | plain |") == 2
    assert "At matched excess" in text
