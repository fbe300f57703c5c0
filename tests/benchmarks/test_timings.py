"""The page on speed has a part a benchmark, which stays when another is run."""

from __future__ import annotations

from pathlib import Path

from timings import put

from excise.store import read_json

CLOSED = {
    "rates": {"float32": 2e11, "float64": 1e11, "copy": 1e10},
    "rows": [
        {"method": name, "concepts": n, "solve": solve, "edit": 1 + solve, "least": least}
        for name, slow in (("UCE", 0.2), ("SPEED", 0.9), ("LEACE", 0.3))
        for n, solve, least in ((1, 0.5, 0.1), (100, 0.5 + slow, 0.25))
    ],
}
TUNED = {
    "batch": 32,
    "rows": [
        {"precision": "float32", "excise": 2.0, "plain": 1.0, "plain_ratio": 2.0, "cached": 2.5,
         "cached_ratio": 0.8},
    ],
}  # fmt: skip


def text(docs: Path) -> str:
    return (docs / "speed.md").read_text(encoding="utf-8")


def test_each_part_is_kept_when_the_other_is_run(tmp_path: Path) -> None:
    put("finetune", TUNED, tmp_path)
    assert "## Closed forms" not in text(tmp_path)
    put("closed_form", CLOSED, tmp_path)
    found = text(tmp_path)
    assert found.index("## Closed forms") < found.index("## Fine-tunes")
    put("closed_form", {**CLOSED, "rows": CLOSED["rows"][:2]}, tmp_path)
    assert "SPEED" not in text(tmp_path)
    assert "## Fine-tunes" in text(tmp_path)
    kept = read_json(tmp_path / "speed.json")
    assert isinstance(kept, dict)
    assert set(kept) == {"closed_form", "finetune"}


def test_the_limit_is_held_against_the_solve_alone_and_the_whole_edit(tmp_path: Path) -> None:
    put("closed_form", CLOSED, tmp_path)
    found = text(tmp_path)
    beside = "100 concepts take, beside 1, "
    assert f"- UCE: {beside}1.40 times as long to solve, under 1.5; 1.13 times" in found
    # What is the same for any number of concepts hides what the solve takes.
    assert f"- LEACE: {beside}1.60 times as long to solve, not under 1.5; 1.20 times" in found
    assert "2.80 times as long to solve, not under 1.5; 1.60 times as long as a whole" in found
    assert "1.60 times as long as a whole edit, not under 1.5; the least" in found
    assert found.count("; the least that the solve needs is 2.50 times.") == 3
    assert "| UCE | 100 | 0.700 | 2.8 | 1.40 | 1.700 | 1.13 |" in found


def test_the_page_says_that_a_filter_makes_the_two_sides_differ(tmp_path: Path) -> None:
    put("closed_form", CLOSED, tmp_path)
    assert "are not the same work" in text(tmp_path)
    put("closed_form", {**CLOSED, "rows": CLOSED["rows"][:2]}, tmp_path)  # UCE alone
    assert "are not the same work" not in text(tmp_path)


def test_the_page_says_who_is_ahead(tmp_path: Path) -> None:
    put("finetune", TUNED, tmp_path)
    found = text(tmp_path)
    assert "| float32 | 2.00 | 1.00 | 2.00 | 2.50 | 0.80 |" in found
    assert "2.00 times (ahead) the steps of the plain loop, 0.80 times (behind)" in found
