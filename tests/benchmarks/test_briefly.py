"""What of the experiments stands in the README: nothing before it is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from briefly import VECTORS, briefly
from controls import PARTS
from plots import SETS

from excise.store import write_json


def sets(concept: str, live: dict[str, int]) -> list[dict[str, Any]]:
    """Sets of 32, so many of which still live at strength 1, none at 2."""
    return [
        {"concept": concept, "set": kind, "alpha": alpha, "looks": 32,
         "hits": [30 if i < n and alpha < 2 else 0 for i in range(32)]}
        for kind, n in live.items() for alpha in (0.5, 1.0, 2.0)
    ]  # fmt: skip


def vector(maker: str, alpha: float, edit: float, kept: float) -> dict[str, Any]:
    arms = {"base": 0.95, "edit": edit, "oracle": 0.05}
    return {"concept": "cat", "maker": maker, "alpha": alpha, "kept": kept, "rungs": {"t4": arms}}


def test_nothing_is_said_of_what_is_not_measured(tmp_path: Path) -> None:
    assert briefly(tmp_path / "none", "") == ""
    write_json(tmp_path / "strength.json", [])
    assert briefly(tmp_path, "") == ""


def test_a_set_is_held_against_what_a_fresh_search_needs(tmp_path: Path) -> None:
    found = sets("cat", {"repulsed": 32, "independent": 1, "fresh": 32})
    found += [{**row, "concept": "sketch", "hits": [30] * 32} for row in found]
    write_json(tmp_path / "strength.json", found)
    text = briefly(tmp_path, "docs/")
    assert "![Strength, by the size of a set](docs/experiments/strength.svg)" in text
    assert "(docs/experiments.md)" in text
    assert "`python benchmarks/experiments.py strength`" in text
    assert "parts" not in text
    lines = [line for line in text.splitlines() if line.startswith("| cat")]
    assert len(lines) == len(SETS)
    assert lines[0] == f"| cat | {SETS['repulsed']} |" + " 2.00 |" * 6
    one, *_, all_ = lines[1].split(" | ")[2:]
    assert 0.5 <= float(one) < float(all_.rstrip(" |")) == 2.0  # one of them may be the one
    # Where nothing was strong enough it is not said that something is.
    (last,) = [line for line in text.splitlines() if line.startswith("| sketch | begun anew")]
    assert last.endswith(" > 2 |" * 6)


def test_parts_and_controls_stand_at_equal_excess(tmp_path: Path) -> None:
    rows = [
        vector("plain", 1.0, 0.35, 0.9), vector("plain", 2.0, 0.05, 0.5),
        vector("half of the gain", 1.0, 0.05, 0.97),
        vector("of dog", 2.0, 0.9, 0.4), vector("unknown", 1.0, 0.0, 1.0),
        {"concept": "cat", "maker": "generic", "alpha": 1.0, "why": "not finite"},
    ]  # fmt: skip
    write_json(tmp_path / "parts.json", rows)
    text = briefly(tmp_path, "")
    assert "(experiments/parts.svg)" in text
    assert "`python benchmarks/experiments.py parts`" in text
    assert "30 points" in text
    assert "| concept | the whole | blocks of half its gain | another thing's |" in text
    assert "| cat | 90 | 98 | – |" in text


def test_every_part_and_control_has_a_name() -> None:
    assert {*PARTS, "plain", "of dog", "generic", "shuffled"} == set(VECTORS)
