"""The table of methods: what it makes and reads of an edit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import compared
import methods
import pytest
import torch
from study import Trial
from tests.benchmarks.tiny_study import Tiny, model

import excise
from excise.edit import Edit, Recipe
from excise.errors import Infeasible, NumericalError, UserError
from excise.types import Request


def failing(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """No edit can be made; the trials that were asked for."""
    made: list[Trial] = []

    def edit(self: Any, trial: Trial, method: str) -> Any:
        made.append(trial)
        raise NumericalError("not finite")

    monkeypatch.setattr(methods.Table, "_edit", edit)
    return made


def test_the_watermark_has_only_methods_that_take_pictures() -> None:
    able = methods.methods_for("watermark")
    assert "task_vector" in able
    assert "uce" not in able
    assert set(able) < set(methods.methods_for("cat"))
    assert set(methods.LOOKS) == set(compared.BUDGETS)


def test_the_papers_recipe_is_made_as_the_method_under_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = failing(monkeypatch)
    found = methods.Table(Tiny(tmp_path))
    rows = [found.row("cat", name, "quick") for name in (methods.DEFAULT, methods.PAPER)]
    assert [row["method"] for row in rows] == ["task_vector", "task_vector_paper"]
    assert [trial.method for trial in made] == ["task_vector"] * 2
    assert [dict(trial.settings) for trial in made] == [{}, {"variant": "paper"}]
    assert {methods.DEFAULT, methods.PAPER} < set(methods.methods_for("watermark"))


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


def test_a_dense_delta_counts_with_what_is_not_zero() -> None:
    tiny = model()
    name, weight = next(iter(tiny.parameters("unet").items()))
    half = torch.ones(weight.shape)
    half.view(-1)[::3] = 0
    edit = Edit.of(tiny, {name: half}, recipe=Recipe(method="x"))
    assert methods.of_edit(edit)["touched"] == int(half.count_nonzero()) < weight.numel()


@pytest.mark.parametrize("error", [UserError, NumericalError])
def test_a_method_that_refuses_a_concept_is_a_row_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(work: Path, trial: Trial) -> None:
        raise error(f"expected something else for {trial.method}")

    monkeypatch.setattr(methods, "apart", refuse)
    found = methods.Table(Tiny(tmp_path)).row("cat", "uce", "quick")
    assert found["why"] == "expected something else for uce"
    assert "expected something else for uce" in compared.page([found])


COSTS = {"seconds": 3.0, "peak_bytes": 2**30, "pictures": 7, "evaluations": 0, "gradients": 0}


def test_a_search_without_an_answer_is_a_row_of_the_nearest_edit_with_its_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Tiny(tmp_path)
    nearest = Edit.of(study.model, {"unet.conv_out.bias": torch.ones(4)},
                      recipe=Recipe(method="task_vector"))  # fmt: skip

    def erase(*given: Any, **named: Any) -> None:
        raise Infeasible("infeasible: no strength", details={"ends": {"nearest": nearest}})

    monkeypatch.setattr(excise, "erase", erase)
    monkeypatch.setattr(methods, "apart", lambda work, trial: COSTS)
    monkeypatch.setattr(methods, "of_report", lambda report: {"plain": [0.1, 0.2]})
    monkeypatch.setattr(Tiny, "report", lambda self, edit, name, sizes: edit)
    found = methods.Table(study).row("cat", "task_vector", "quick")
    assert (found["feasible"], found["verified"]) == (False, False)
    assert found["infeasible"] == "infeasible: no strength"
    assert (found["seconds"], found["pictures"], found["touched"]) == (3.0, 7, 4)
    text = compared.page([found])
    (line,) = (line for line in text.splitlines() if line.startswith("| cat"))
    assert line.startswith("| cat | task vector, healed† | ")
    assert " | no | no | 10.0 (20.0) | " in line
    assert "1 edits: 0 are feasible" in text
    assert study.edit(Trial(concept="cat"))[1]["infeasible"] == "infeasible: no strength"


def test_an_edit_that_was_made_elsewhere_is_made_again_to_be_priced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Tiny(tmp_path)
    trial = Trial(concept="cat")

    def erase(model: Any, *given: Any, out: Path, **named: Any) -> None:
        model.generate(Request(prompts=("a cat",), seeds=(0,)))
        out.parent.mkdir(parents=True, exist_ok=True)
        Edit.of(model, {}, recipe=Recipe(method="task_vector")).save(out)

    monkeypatch.setattr(excise, "erase", erase)
    assert not study.begun(trial)
    assert methods.priced(study, trial)["pictures"] == 1
    assert study.begun(trial)
    assert methods.priced(study, trial)["pictures"] == 0  # it is there: costs nothing
    monkeypatch.setattr(methods, "Study", lambda work, *given, **named: Tiny(work, of=study.model))
    said: list[Any] = []
    answer: Any = SimpleNamespace(send=said.append)
    methods._make(tmp_path, trial, torch.get_num_threads(), answer)
    assert said[0][0] == "made"
    assert said[0][1]["pictures"] == 1


def test_every_edit_is_made_at_the_standard_budget_and_the_default_is_never_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = failing(monkeypatch)
    monkeypatch.setattr(methods, "METHODS", ("task_vector", "esd", "uce"))
    rows = methods.Table(Tiny(tmp_path)).rows(("cat",))
    assert {trial.budget for trial in made} == {"standard"}
    again = [row["method"] for row in rows if row["budget"] == "standard"]
    assert again == ["task_vector", "esd"]
