"""The page of experiments says what was asked, and every point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pages import ASKED, page

from excise.store import write_json


def point(**given: Any) -> dict[str, Any]:
    return {
        "concept": "cat",
        "plain": 0.02,
        "rungs": {"t4": {"base": 0.73, "edit": 0.1}},
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
        point(settings={}, alpha=1.0, method=""),
        point(method="esd", settings={"lr": 1e-4}, near=0.9, headline="t4"),
    ]
    write_json(folder / "healing.json", rows)
    page(folder, tmp_path / "experiments.md")
    text = (tmp_path / "experiments.md").read_text(encoding="utf-8")
    assert ASKED["healing"] in text
    assert ASKED["parts"] not in text
    assert "experiments/healing.svg" in text
    table = [line for line in text.splitlines() if line.startswith("| cat")]
    assert [line.split(" | ")[1] for line in table] == [
        "plain", "hard 2.0", "the default", "esd: lr 0.0001",
    ]  # fmt: skip
    assert "73 → 10 (t4) | 98.2 (96.1) | dog 79" in table[0]
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
