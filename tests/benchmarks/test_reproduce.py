"""The README's table: every column, and what is to be said beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plots
import pytest
import reproduce
from claims import LADDER, Floors, claimed
from reproduce import (
    BEGIN,
    CONCEPTS,
    END,
    HEAD,
    Part,
    Results,
    cells,
    into,
    methods_for,
    missing,
    text_of,
)
from variants import PAPER

from excise.attacks.concept_inversion import Rung
from excise.store import write_json


def row(**given: Any) -> dict[str, Any]:
    return {
        "concept": "cat", "method": "task_vector", "edits": 5, "feasible": 4, "verified": 3,
        "plain": 0.0, "plain_high": 0.022, "two": [0.01, 0.03], "two_other": [0.9, 0.86],
        "searched": {"base": 0.95, "edit": 0.04, "oracle": 0.03}, "rung": 4,
        "excess": (0.01, -0.02, 0.05), "delta_loss": (-0.021, -0.025, -0.017),
        "kept": (0.98, 0.96, 0.99), "worst": [0.92, 0.81], "worst_label": "dog", "worst_edit": 0.83,
        "near": [0.95, 0.9], "near_edit": 0.88, "nothing": {"base": 0.02, "edit": 0.03},
        "nothing_more": (0.01, 0.0, 0.02), **given,
    }  # fmt: skip


PLAIN = {"feasible": None, "verified": None, "two": None, "two_other": None, "near": None,
         "near_edit": None}  # fmt: skip


def test_every_figure_is_in_the_table() -> None:
    found = dict(zip(HEAD, cells(row()), strict=True))
    assert found["method"] == "task vector, healed"
    assert found["edits"] == "5: 4 feasible, 3 verified"
    assert found["Δ-loss (bounds)"] == "-0.0210 (-0.0250 to -0.0170)"
    assert found["searched: before / after / never shown"] == "95 / 4 / 3, 4 tokens"
    assert found["worst class (lower bound); of one edit"] == "dog 92.0 (81.0); 83"
    assert found["nothing recognisable: before → after (more, at most)"] == (
        "2.0 → 3.0 (+1.0, +2.0)"
    )
    assert found["beside another (upper bound)"] == "1.0 (3.0)"
    bare = dict(zip(HEAD, cells(row(**PLAIN)), strict=True))
    assert bare["edits"] == "5"
    assert bare["neighbours (lower bound); of one edit"] == "–; –"


def test_the_text_has_the_plot_and_counts_what_a_search_settled() -> None:
    text = text_of([row(), row(method="esd", **PLAIN)], "docs/figures")
    assert text.startswith("![")
    assert "(docs/figures/ladders.svg)" in text
    assert "Of the 5 edits that a search for a strength settled, 4 are feasible" in text
    assert "‡" not in text


def test_what_is_still_to_be_measured_is_said() -> None:
    every = [row(concept=concept, method=method, edits=count)
             for concept in CONCEPTS for method, count in methods_for(concept).items()]  # fmt: skip
    assert missing(every) == ""
    assert "Still to be measured" not in text_of(every, "figures")
    short = missing([{**every[0], "edits": 2}, *every[2:]])
    assert short == "cat (4 of 8 edits)"
    assert f"by the same command: {short}." in text_of([{**every[0], "edits": 2}, *every[2:]], "f")


def test_of_what_is_there_already_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(self: Any, trial: Any, sizes: Any, settings: Any = None) -> bool:
        return (trial.seed, sizes is LADDER, settings) in (
            (0, True, None), (1, False, claimed(4)),
        ) and trial.concept == "cat"  # fmt: skip

    asked: list[Any] = []
    monkeypatch.setattr(Results, "known", known)
    monkeypatch.setattr(Results, "ladder", lambda self, *of: {"headline": "t4"})
    monkeypatch.setattr(Results, "claims", lambda self, *of: asked.append(of) or ([row()], row()))
    monkeypatch.setattr(Floors, "rung", lambda self, concept, highest, only: highest)
    results = Results(None)  # type: ignore[arg-type]
    assert results.part("sketch", "task_vector", 5, True) is None
    assert results.part("cat", "task_vector", 5, True) is not None
    assert results.part("cat", "task_vector", 2, False) is not None
    assert asked == [("cat", "task_vector", 4, [1]), ("cat", "task_vector", 4, [0, 1])]


def test_a_variants_rows_have_its_name_and_are_not_the_methods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def kept(self: Any, trial: Any, sizes: Any, settings: Any = None) -> dict[str, Any]:
        asked.append(trial)
        return {"method": trial.method, "headline": "t4"}

    monkeypatch.setattr(Results, "row", kept)
    monkeypatch.setattr(Results, "arrays", lambda self, *of: None)
    monkeypatch.setattr(Floors, "rung", lambda self, concept, highest, only: highest)
    monkeypatch.setattr(reproduce, "summary", lambda rows, many: rows[0])
    part = Results(None).part("cat", PAPER, 1, False)  # type: ignore[arg-type]
    assert part is not None
    assert {row["method"] for row in (part.ladder, part.summary, *part.claims)} == {PAPER}
    assert {trial.method for trial in asked} == {"task_vector"}
    assert all(trial.settings == {"variant": "paper"} for trial in asked)


@pytest.mark.parametrize("part", [["--concept", "cat"], ["--method", "esd"]])
def test_a_part_writes_no_table_and_says_so(
    part: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def opened(parser: Any) -> Any:
        return parser.parse_args(), None

    def write(*given: Any) -> None:
        raise AssertionError("a part of the table was written in the place of all of it")

    monkeypatch.setattr(reproduce, "opened", opened)
    for name in ("write_json", "write_text", "into"):
        monkeypatch.setattr(reproduce, name, write)
    monkeypatch.setattr(Results, "part", lambda self, *of: None)
    monkeypatch.setattr("sys.argv", ["reproduce.py", *part])
    reproduce.main()
    assert "--measured, writes the tables" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["reproduce.py", *part, "--measured"])
    with pytest.raises(SystemExit) as stopped:
        reproduce.main()
    assert stopped.value.code == 2
    assert "leave out --concept and --method" in capsys.readouterr().err


def test_what_of_the_experiments_is_measured_stands_beside_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def part(self: Any, concept: str, method: str, *given: Any) -> Any:
        return Part(ladder={}, claims=[], summary=row(concept=concept, method=method))

    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    monkeypatch.setattr(reproduce, "opened", lambda parser: (parser.parse_args([]), None))
    monkeypatch.setattr(Results, "part", part)
    monkeypatch.setattr(plots, "ladders", lambda rows, file: None)
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    monkeypatch.setattr(reproduce, "DOCS", tmp_path / "docs")
    files = (tmp_path / "README.md", tmp_path / "docs" / "results.md")
    for vectors in (False, True):
        if vectors:
            arms = {"base": 0.9, "edit": 0.0, "oracle": 0.0}
            one = {"concept": "cat", "maker": "plain", "alpha": 1.0, "kept": 0.9,
                   "rungs": {"t4": arms}}  # fmt: skip
            write_json(tmp_path / "docs" / "experiments" / "parts.json", [one])
        reproduce.main()
        for file, place in zip(files, ("docs/", ""), strict=True):
            text = file.read_text(encoding="utf-8")
            assert (f"]({place}experiments/parts.svg)" in text) == vectors
            assert "task vector (paper's)" in text


def test_an_oracle_that_is_reached_too_often_is_marked() -> None:
    searched = {"base": 0.95, "edit": 0.2, "oracle": 0.16}
    text = text_of([row(searched=searched)], "figures")
    assert "95 / 20 / 16‡, 4 tokens" in text
    assert "more than 15%" in text


def test_the_ladder_has_every_rung() -> None:
    assert LADDER.rungs[-1] == "step_condition"
    assert len(LADDER.rungs) == len(plots.RUNGS) == len(Rung.__args__)  # type: ignore[attr-defined]


def test_ladders_are_drawn_in_one_colour_a_method(tmp_path: Path) -> None:
    arms = {"base": 0.9, "edit": 0.1, "oracle": 0.0}
    rungs = dict.fromkeys(plots.RUNGS, arms)
    rows = [{"concept": concept, "method": method, "rungs": rungs}
            for concept in ("cat", "sketch", "church", "truck", "watermark")
            for method in ("task_vector", "esd")]  # fmt: skip
    plots.ladders(rows[:-1], tmp_path / "ladders.svg")
    assert (tmp_path / "ladders.svg").stat().st_size > 1000
    once = (tmp_path / "ladders.svg").read_bytes()
    plots.ladders(rows[:-1], tmp_path / "ladders.svg")
    assert (tmp_path / "ladders.svg").read_bytes() == once


def test_the_text_goes_between_the_marks(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    into(file, "new\n")
    into(file, "new\n")
    assert file.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
