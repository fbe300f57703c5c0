from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tests import tiny
from tests.suite import two

from excise.erasers.base import Change, Eraser, Work
from excise.errors import BadConcept, BadSetting
from excise.models.load import of_pipeline
from excise.store import Stages
from excise.types import Concept

NAME = "unet.conv_out.bias"


@dataclass(frozen=True, kw_only=True)
class Shift(Eraser):
    """Adds a number to a bias."""

    name: ClassVar[str] = "shift"
    paper: ClassVar[str] = "none"
    measured: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "stable-diffusion": {"by": 2.0, "steps": 40},
        "tiny": {"by": 3.0},
    }
    steps: int = 10
    by: float = 1.0

    def __post_init__(self) -> None:
        self._positive("steps")

    def change(self, work: Work) -> Change:
        work.model.predict(torch.zeros(2, *work.model.latent_shape), 0.5, work.model.encode("a"))
        weight = work.model.parameters(NAME)[NAME]
        kept = work.kept("delta", lambda: ({NAME: torch.full(weight.shape, self.by)}, {"by": 7}))
        return Change(deltas=kept.tensors, record=kept.record, tensors={"found": torch.ones(1)})


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def test_an_edit_knows_how_it_came_to_be(model: Any) -> None:
    cat = Concept("cat", synonyms=("kitten",))
    found = Shift(by=0.5).erase(model, [cat, Concept("dog")], seed=3)
    recipe = found.edit.recipe
    assert (recipe.method, recipe.seed, recipe.verified) == ("shift", 3, False)
    assert recipe.settings == {"steps": 10, "by": 0.5}
    assert recipe.concepts == (cat.to_json(), Concept("dog").to_json())
    assert found.edit.dense(NAME).tolist() == [0.5] * 4
    assert found.record["by"] == 7
    assert found.record["costs"]["evaluations"] == 2  # what this run spent, not all runs
    assert set(found.tensors) == {"found"}
    assert Shift(by=0.5).run(model, cat) == found.edit


def test_concepts_are_completed_by_what_the_model_knows(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = (Concept("cat", synonyms=("kitten",), held_back=("feline",)),)
    monkeypatch.setattr(model, "known", known)
    (used,) = Shift().run(model, Concept("cat")).recipe.concepts
    assert (used["synonyms"], used["held_back"]) == (["kitten"], ["feline"])


def test_stages_belong_to_all_that_they_depend_on(model: Any, tmp_path: Path) -> None:
    stages = Stages(tmp_path)

    def files() -> int:
        return len(list(tmp_path.iterdir()))

    cat = Concept("cat")
    Shift().run(model, cat, stages=stages)
    Shift().run(model, cat, stages=stages)
    assert files() == 1
    Shift(by=2).run(model, cat, stages=stages)
    Shift().run(model, Concept("dog"), stages=stages)
    Shift().run(model, cat, seed=1, stages=stages)
    assert files() == 4
    with model.swapped({NAME: torch.ones(4)}):
        Shift().run(model, cat, stages=stages)
    assert files() == 5
    Shift().run(model, cat, judge=two.Two(), stages=stages)  # may choose otherwise
    Shift().run(model, cat, judge=two.Two(sharp=3.0), stages=stages)
    assert files() == 7


def test_settings_measured_for_a_model_stand_under_those_given(model: Any) -> None:
    assert Shift().by == 1.0
    assert Shift.fitted(model) == Shift(by=3.0, steps=40)
    assert Shift.fitted(model, {"by": "5"}) == Shift(by=5.0, steps=40)
    assert Shift.fitted(of_pipeline(tiny.stable_diffusion(), "b")) == Shift(by=2.0, steps=40)
    assert Shift.fitted(of_pipeline(tiny.sdxl(), "c")) == Shift()
    with pytest.raises(BadSetting, match="no setting 'bye'"):
        Shift.fitted(model, {"bye": 1})


def test_budgets_scale_the_steps_and_nothing_else() -> None:
    assert Shift(by=4).at("standard") == Shift(by=4)
    assert Shift(by=4).at("quick") == Shift(by=4, steps=2)
    assert Shift(by=4).at("thorough") == Shift(by=4, steps=20)
    assert replace(Shift(), steps=1).at("quick").steps == 1
    with pytest.raises(BadSetting, match="budget among"):
        Shift().at("fast")  # type: ignore[arg-type]


def test_mistakes_are_said(model: Any) -> None:
    for concepts in ([], [Concept("cat"), Concept("cat", kind="style")]):
        with pytest.raises(BadConcept, match="different names"):
            Shift().run(model, concepts)
    with pytest.raises(BadSetting, match="shift: expected steps > 0, got 0"):
        Shift(steps=0)
