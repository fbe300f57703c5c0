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
from excise.errors import Infeasible, NumericalError, UserError


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
    edit = found.in_turn("uce", ("cat", "dog"))().edit
    (first, before), (second, after) = found.calls  # type: ignore[attr-defined]
    assert (first, second) == (["cat"], ["dog"])
    assert after == pytest.approx(before + 1)
    assert float(edit.dense(next(iter(edit.deltas))).min()) == pytest.approx(2)


def test_merged_edits_know_nothing_of_one_another(found: many.Many) -> None:
    edit = found.merged("uce", ("cat", "dog"))().edit
    (_, before), (_, after) = found.calls  # type: ignore[attr-defined]
    assert after == before
    assert float(edit.dense(next(iter(edit.deltas))).min()) == pytest.approx(2)


def test_an_edit_is_made_once_whatever_it_is_used_for(found: many.Many) -> None:
    found.in_turn("uce", ("cat", "dog"))()
    found.merged("uce", ("cat", "dog"))()
    found.at_once("uce", ("dog",))()
    names = [names for names, _ in found.calls]  # type: ignore[attr-defined]
    assert names == [["cat"], ["dog"], ["dog"]]


def test_a_row_has_each_concept_and_everything_else(found: many.Many) -> None:
    row = found.row("at once", "uce", ("cat",), found.at_once("uce", ("cat",)))
    again = found.row("at once", "uce", ("cat",), found.at_once("uce", ("dog",)))
    assert row == again
    assert set(row["after"]) == {"cat"}
    assert "feasible" not in row
    text = many.page([row, {**row, "why": "expected words"}])
    assert text.count("| at once | uce | cat |") == 2
    assert "expected words" in text
    assert "Interference" not in text


def test_interference_is_what_both_leave_less_what_each_leaves_alone(
    found: many.Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ("cat", "dog")
    row = found.row("merged", "uce", pair, found.merged("uce", pair))
    alone = {n: found.row("alone", "uce", (n,), found.at_once("uce", (n,))) for n in pair}
    gaps = row["interference"]
    for name in pair:
        assert gaps[name][0] == pytest.approx(row["after"][name] - alone[name]["after"][name])
        assert gaps[name][1] <= gaps[name][0] <= gaps[name][2]
    trees = [found._figures(pair, found.at_once("uce", (name,))().edit)["kept"] for name in pair]
    assert gaps["kept"][0] == pytest.approx(row["kept"] - min(trees))
    text = many.page([row, *alone.values()])
    assert "## Interference" in text
    assert text.count("| merged | uce | cat, dog |") == 2


def test_a_search_without_an_answer_leaves_the_nearest_edit_and_a_mark(
    found: many.Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = excise.erase

    def erase(model: Any, concepts: Any, *, out: Path, **given: Any) -> None:
        inner(model, concepts, out=out, **given)
        if concepts[0].name == "dog":
            nearest = Edit.load(out)
            out.unlink()
            raise Infeasible("infeasible: no strength", details={"ends": {"nearest": nearest}})

    monkeypatch.setattr(excise, "erase", erase)
    row = found.row("merged", "task_vector", ("cat", "dog"),
                    found.merged("task_vector", ("cat", "dog")))  # fmt: skip
    assert (row["settled"], row["feasible"], row["verified"]) == (2, 1, 0)
    assert row["infeasible"] == ["infeasible: no strength"]
    assert "| merged | task vector, healed† | cat, dog | 1 of 2 | 0 of 2 |" in many.page([row])


@pytest.mark.parametrize("error", [UserError, NumericalError])
def test_what_cannot_be_made_is_a_row_that_says_why(
    found: many.Many, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise error("not this one")

    monkeypatch.setattr(excise, "erase", refuse)
    row = found.row("merged", "uce", ("cat", "dog"), found.merged("uce", ("cat", "dog")))
    assert row["why"] == "not this one"
    assert "not this one" in many.page([row])
