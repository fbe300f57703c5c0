"""The page on speed has a part a benchmark, which stays when another is run."""

from __future__ import annotations

from pathlib import Path

from timings import put

from excise.store import read_json

CLOSED = {
    "rates": {"float32": 2e11, "float64": 1e11, "copy": 1e10},
    "rows": [
        {"method": name, "concepts": n, "solve": solve, "edit": 1 + solve, "least": 0.1}
        for name, slow in (("uce", 0.2), ("speed", 0.9))
        for n, solve in ((1, 0.5), (100, 0.5 + slow))
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


def test_the_page_says_whether_the_limit_is_kept(tmp_path: Path) -> None:
    put("closed_form", CLOSED, tmp_path)
    found = text(tmp_path)
    assert "UCE: 100 concepts take 1.13 times as long as 1, which is under 1.5." in found
    assert "SPEED: 100 concepts take 1.60 times as long as 1, which is not under 1.5." in found
    assert "| uce | 100 | 0.700 | 7.0 | 1.40 | 1.700 | 1.13 |" in found


def test_the_page_says_who_is_ahead(tmp_path: Path) -> None:
    put("finetune", TUNED, tmp_path)
    found = text(tmp_path)
    assert "| float32 | 2.00 | 1.00 | 2.00 | 2.50 | 0.80 |" in found
    assert "2.00 times (ahead) the steps of the plain loop, 0.80 times (behind)" in found
