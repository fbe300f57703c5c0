"""The raw scores of every class: written once, found again, and counted at another threshold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from excise.errors import BadFile
from excise.primitives.panel import Sheet
from excise.primitives.probe import Look, Probe, Shot
from excise.reporting import Report, Scores
from excise.reporting.findings import counted
from excise.reporting.sheets import SECTIONS, ScoreSheet
from excise.store import load_tensors, save_tensors
from excise.types import Prompt

PLAIN, PAIRS, KEPT = SECTIONS
LABELS = ("cat", "dog", "nothing", "auditor says cat")
GROUPS = ("cat", "kitten", "held back: tabby", "cat")
# At 0.5: a dog, nothing, a cat, nothing. At 0.2 the first, second and fourth are cats too.
VALUES = [[0.7, 0.6, 0.0, 1.0], [0.3, 0.1, 0.1, 0.0], [0.9, 0.0, 0.0, 0.0], [0.25, 0.1, 0.2, 0.0]]
VALUES[0][:2] = [0.4, 0.6]


def look(values: list[list[float]], groups: tuple[str, ...] = GROUPS) -> Look:
    shots = tuple(
        Shot(prompt=Prompt(f"a {group}"), seed=2**62 + i, label="cat", group=group)
        for i, group in enumerate(groups)
    )
    sheet = Sheet(
        judge="judge",
        labels=LABELS,
        things=("cat", "dog"),
        values=torch.tensor(values),
        thresholds=dict.fromkeys(LABELS, 0.5),
    )
    thumbs = torch.zeros(len(shots), 3, 4, 4, dtype=torch.uint8)
    return Look(probe=Probe(shots=shots), sheet=sheet, thumbs=thumbs)


def with_sheets(report: Report) -> Report:
    """The report, of arms whose every picture is known."""
    arms = ("base", "edit", "oracle")
    sheets = [
        ScoreSheet.of(section, arm, look(VALUES if arm == "edit" else VALUES[::-1]))
        for section in SECTIONS
        for arm in arms
    ]
    assert report.scores is not None
    old = report.record.replacement
    assert old is not None
    record = report.record.model_copy(
        update={"replacement": old.model_copy(update={"among": ("cat", "dog")})}
    )
    return replace(report, record=record, scores=replace(report.scores, sheets=tuple(sheets)))


def test_every_class_of_every_picture_is_found_again(report: Report, tmp_path: Path) -> None:
    table = with_sheets(report).scores
    assert table is not None
    table.save(tmp_path / "a")
    again = Scores.load(tmp_path / "a")
    assert len(again) == len(table)
    for one, other in zip(table.sheets, again.sheets, strict=True):
        assert torch.equal(one.sheet.values, other.sheet.values)
        assert one.sheet.record() == other.sheet.record()
        assert vars(one) | {"sheet": 0} == vars(other) | {"sheet": 0}
    again.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_the_models_share_is_written_once(report: Report, tmp_path: Path) -> None:
    table = with_sheets(report).scores
    assert table is not None
    table.save(tmp_path / "a")
    _, meta = load_tensors(tmp_path / "a")
    assert sum("columns" in row for row in meta["sheets"]) == len(SECTIONS)


def test_a_table_without_them_is_read_and_a_damaged_one_is_named(
    report: Report, tmp_path: Path
) -> None:
    table = with_sheets(report).scores
    assert table is not None
    table.save(tmp_path / "a")
    tensors, meta = load_tensors(tmp_path / "a")
    old = {name: rows for name, rows in tensors.items() if not name.startswith("sheet/")}
    save_tensors(tmp_path / "old", old, {k: v for k, v in meta.items() if k != "sheets"})
    assert Scores.load(tmp_path / "old").sheets == ()
    for changed in (old, {**tensors, "sheet/0": tensors["sheet/0"][1:]}):
        save_tensors(tmp_path / "b", changed, meta)
        with pytest.raises(BadFile, match="damaged"):
            Scores.load(tmp_path / "b")
    assert "sheet/0" in load_file(tmp_path / "a")


def test_a_table_of_parts_has_all_and_a_selection_has_none(report: Report) -> None:
    table = with_sheets(report).scores
    assert table is not None
    assert len(Scores.concat([table, table]).sheets) == 2 * len(table.sheets)
    assert table.where(arm="edit").sheets == ()


def test_what_depends_on_several_labels_is_counted_again(report: Report) -> None:
    whole = with_sheets(report)
    same, low = whole.at(0.5).record, whole.at(0.2).record
    assert same.kept is not None
    assert low.kept is not None
    assert same.replacement is not None
    assert low.replacement is not None
    # Plain pictures of given words: the held-back one is left out, as in the section.
    assert same.replacement.counts["edit"] == {"nothing": 2, "dog": 1}
    assert low.replacement.counts["edit"] == {"cat": 2, "dog": 1}
    assert same.kept.nothing["edit"].value == 0.5
    assert low.kept.nothing["edit"].value == 0
    assert low.kept.rows == report.record.kept.rows  # type: ignore[union-attr]
    (said,) = [check for check in low.checks if check.name == "threshold"]
    assert "drawn instead" not in said.advice
    (said,) = [check for check in report.at(0.2).record.checks if check.name == "threshold"]
    assert "drawn instead" in said.advice


def test_counts_begin_with_the_commonest() -> None:
    assert list(counted(["dog", "cat", "dog", "bird"]).items()) == [
        ("dog", 2), ("bird", 1), ("cat", 1),
    ]  # fmt: skip
