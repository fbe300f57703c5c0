"""Several concepts: edits are made once, and in turn means on the model that is there by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import many
import pytest
import torch
from tests.benchmarks.tiny_study import Tiny

import excise
from excise.edit import Edit, Recipe


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> many.Many:
    """Erasers that add one to a weight, and remember what they found there."""
    monkeypatch.setattr(many, "EACH", 2)
    made = many.Many(Tiny(tmp_path))
    monkeypatch.setattr(made, "calls", [], raising=False)

    def erase(model: Any, concepts: Any, *, out: Path, **given: Any) -> None:
        name, weight = next(iter(model.parameters("unet").items()))
        made.calls.append(([one.name for one in concepts], float(weight.detach().view(-1)[0])))  # type: ignore[attr-defined]
        edit = Edit.of(model, {name: torch.ones(weight.shape)}, recipe=Recipe(method="one"))
        out.parent.mkdir(parents=True, exist_ok=True)
        edit.save(out)

    monkeypatch.setattr(excise, "erase", erase)
    return made


def test_in_turn_the_second_is_made_on_what_the_first_has_left(found: many.Many) -> None:
    edit = found.in_turn("uce", ("cat", "dog"))()
    (first, before), (second, after) = found.calls  # type: ignore[attr-defined]
    assert (first, second) == (["cat"], ["dog"])
    assert after == pytest.approx(before + 1)
    assert float(edit.dense(next(iter(edit.deltas))).min()) == pytest.approx(2)


def test_merged_edits_know_nothing_of_one_another(found: many.Many) -> None:
    edit = found.merged("uce", ("cat", "dog"))()
    (_, before), (_, after) = found.calls  # type: ignore[attr-defined]
    assert after == before
    assert float(edit.dense(next(iter(edit.deltas))).min()) == pytest.approx(2)


def test_an_edit_is_made_once_whatever_it_is_used_for(found: many.Many) -> None:
    found.in_turn("uce", ("cat", "dog"))()
    found.merged("uce", ("cat", "dog"))()
    names = [names for names, _ in found.calls]  # type: ignore[attr-defined]
    assert names == [["cat"], ["dog"], ["dog"]]


def test_a_row_has_each_concept_and_everything_else(found: many.Many) -> None:
    row = found.row("at once", "uce", ("cat",), found.at_once("uce", ("cat",)))
    again = found.row("at once", "uce", ("cat",), found.at_once("uce", ("dog",)))
    assert row == again
    assert set(row["after"]) == {"cat"}
    text = many.page([row, {**row, "why": "expected words"}])
    assert text.count("| at once | uce | cat |") == 2
    assert "expected words" in text
