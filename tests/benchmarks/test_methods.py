"""The table of methods: what it reads of an edit, and which rows no other beats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import methods
import pytest
import torch
from study import Trial
from tests.benchmarks.tiny_study import Tiny, model

from excise.edit import Edit, Recipe
from excise.errors import UserError


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
    assert [one["method"] for one in methods.front(rows)] == [
        "gone", "kept", "between", "elsewhere",
    ]  # fmt: skip


def test_the_watermark_has_only_methods_that_take_pictures() -> None:
    able = methods.methods_for("watermark")
    assert "task_vector" in able
    assert "uce" not in able
    assert set(able) < set(methods.methods_for("cat"))


def test_what_an_edit_touches_is_counted_by_value() -> None:
    tiny = model()
    name, weight = next(
        (name, one) for name, one in tiny.parameters("unet").items() if one.numel() > 64
    )
    one = torch.zeros(weight.shape)
    one.view(-1)[3] = 1.0
    sparse = Edit.of(tiny, {name: one}, recipe=Recipe(method="x"))
    dense = Edit.of(tiny, {name: torch.ones(weight.shape)}, recipe=Recipe(method="x"))
    assert methods.of_edit(sparse)["touched"] == 1
    assert methods.of_edit(dense)["touched"] == weight.numel()
    assert methods.of_edit(Edit.of(tiny, {}, recipe=Recipe(method="x")))["touched"] == 0


def test_a_method_that_refuses_a_concept_is_a_row_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(work: Path, trial: Trial) -> None:
        raise UserError(f"expected something else for {trial.method}")

    monkeypatch.setattr(methods, "apart", refuse)
    found = methods.Table(Tiny(tmp_path)).row("cat", "uce", "quick")
    assert found["why"] == "expected something else for uce"
    assert "expected something else for uce" in methods.page([found])


def test_the_page_shows_every_row_and_marks_the_front() -> None:
    shown = {
        "plain": [0.01, 0.03], "kept": [0.98, 0.96], "worst_label": "dog", "near": 0.9,
        "touched": 10, "hooks": 0, "bytes": 1000, "seconds": 3.2, "peak_bytes": 2**30,
        "worst_found": {"base": 1.0, "edit": 0.25, "oracle": 0.0}, "pictures": 5,
    }  # fmt: skip
    rows = [row("uce", 0.3, 0.9, **shown), row("esd", 0.4, 0.8, **shown)]
    lines = [line for line in methods.page(rows).splitlines() if line.startswith("| cat")]
    assert len(lines) == 2
    assert "**uce**" in lines[0]
    assert "**esd**" not in lines[1]
    assert "100 / 25 / 0" in lines[0]
    assert {line.count("|") for line in lines} == {len(methods.HEAD) + 1}
