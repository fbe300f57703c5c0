from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.suite import two

from excise.edit import Edit
from excise.erasers.searching import PLACES
from excise.erasers.task_vector import TaskVector
from excise.errors import BadSetting, Infeasible, MissingJudge
from excise.settings import build, recipe
from excise.store import Stages
from excise.types import Concept, Request

SMALL = TaskVector(
    variant="paper",
    pictures=16,
    steps=40,
    batch=8,
    lr=1e-3,
    embeddings=3,
    tokens=1,
    inversion_steps=10,
    carried=2,
    looks=2,
    kept=96,  # with fewer no bound can reach 97 %
    plain=1,
    grid=(0.5, 1.0, 2.0),
    refine=0,
)


HEALED = replace(
    SMALL,
    variant="healed",
    hard=2.0,
    heal=40,
    heal_batch=16,
    heal_lr=1e-3,
    walks=16,
    anywhere=5,
    pinned=64,
    adversaries=3,
    lasting=12,
)


def test_a_recipe_makes_an_equal_method() -> None:
    assert build(TaskVector, recipe(SMALL)) == SMALL


def test_each_variant_has_settings_of_its_own_where_they_are_left_out() -> None:
    paper, healed = TaskVector(variant="paper"), TaskVector()
    assert paper.searched == (("token",), 1, False)
    assert paper.confined
    assert healed.searched == (("token", "condition"), 4, True)
    assert not healed.confined
    assert TaskVector(variant="paper", tokens=8, spread=True).searched == (("token",), 8, True)
    assert not TaskVector(variant="paper", gain=1.0).confined
    assert healed.at("quick").searched[2] is False
    with pytest.raises(BadSetting, match="gain"):
        TaskVector(gain=0.0)


def test_what_a_model_without_a_style_is_led_to_has_no_say_in_its_strength() -> None:
    cat, sketch = Concept("cat"), Concept("sketch", kind="style")
    healed = TaskVector()
    assert healed.judged_in(cat) == ("token", "condition")
    assert healed.judged_in(sketch) == ("token",)
    assert replace(healed, judged=("condition",)).judged_in(sketch) == ("condition",)
    assert replace(healed, spaces=("condition",)).judged_in(sketch) == ("condition",)
    assert TaskVector(variant="paper").judged_in(sketch) == ("token",)


@pytest.mark.slow
def test_without_a_strength_it_needs_a_judge_and_says_so_at_once() -> None:
    model = two.model()
    before = model.costs
    with pytest.raises(MissingJudge, match="--strength"):
        SMALL.run(model, two.CAT)
    assert model.costs.evaluations == before.evaluations


@pytest.mark.slow
def test_a_strength_of_ones_own_is_taken_and_not_verified() -> None:
    found = replace(SMALL, strength=1.5).erase(two.model(), two.CAT)
    assert found.record["strength"] == 1.5
    assert not found.edit.recipe.verified


@pytest.mark.slow
def test_the_concept_goes_the_rest_stays_and_the_model_is_as_it_was(tmp_path: Path) -> None:
    model, judge = two.model(), two.Two()
    before = model.fingerprint()
    found = SMALL.erase(model, two.CAT, judge=judge, stages=Stages(tmp_path))
    assert model.fingerprint() == before
    assert found.edit.recipe.verified
    with found.edit.applied(model):
        shown = {
            name: judge.score(model.generate(Request(prompts=(f"a {name}",),
                                                     seeds=tuple(range(50, 66)))).pictures, name)
            for name in ("cat", "dog")
        }  # fmt: skip
    assert shown["cat"].rate <= 0.1
    assert shown["dog"].rate >= 0.9
    search = found.record["strength_search"]
    assert search["erased_from"] <= found.record["strength"] <= search["kept_to"]
    assert len(found.record["choose"]["sets"][0]["edits"]) == 0
    sets = {row["split"]: set(row["hashes"]) for row in found.record["pictures"]}
    assert set(sets) == {"tau", "choose", "check"}
    assert sum(map(len, sets.values())) == len(set().union(*sets.values()))  # none is in two
    # Everything that it went through is kept, so a second run ends with the same bytes.
    kept, spent = sorted(tmp_path.iterdir()), model.costs
    again = SMALL.erase(model, two.CAT, judge=judge, stages=Stages(tmp_path))
    assert again.edit.digest == found.edit.digest
    assert sorted(tmp_path.iterdir()) == kept
    assert (model.costs - spent).gradients == 0


@pytest.mark.slow
def test_a_healed_edit_goes_on_after_a_kill_and_keeps_the_concept_down(tmp_path: Path) -> None:
    model, judge, method = two.model(), two.Two(), replace(HEALED, strength=1.0)
    found = method.erase(model, two.CAT, stages=Stages(tmp_path))
    with found.edit.applied(model):
        drawn = {
            name: model.generate(Request(prompts=(f"a {name}",), seeds=tuple(range(50, 66))))
            for name in ("cat", "dog")
        }
    shown = {name: judge.score(one.pictures, name).rate for name, one in drawn.items()}
    assert shown["cat"] <= 0.1
    assert shown["dog"] >= 0.8
    assert [row["split"] for row in found.record["pictures"]] == ["tau", "find"]
    healing = found.record["healing"]
    words = len(two.CAT.prompts()) + 1  # and no prompt at all
    each = 2 * PLACES + 1  # of three inputs a search, two are soft tokens, in several sentences
    assert healing["pinned"] == words + method.anywhere + each
    curves = healing["curves"]
    assert set(curves) == {"kept", "pinned", "against"}
    assert all(sum(curve[-5:]) < sum(curve[:5]) for curve in curves.values())
    (last,) = tmp_path.glob("healed-*")
    last.unlink()  # as if it had been killed before its last stage
    again = method.erase(model, two.CAT, stages=Stages(tmp_path))
    assert again.edit.digest == found.edit.digest


@pytest.mark.slow
def test_no_strength_is_an_answer_with_its_record_and_both_ends() -> None:
    judge = two.Two(far=0.0)  # nothing is ever recognisable, so nothing is ever kept
    with pytest.raises(Infeasible, match="infeasible") as caught:
        replace(SMALL, grid=(1.0,)).erase(two.model(), two.CAT, judge=judge)
    details = caught.value.details
    assert details["strength_search"]["chosen"] is None  # type: ignore[index]
    ends = details["ends"]
    assert isinstance(ends, dict)
    assert all(isinstance(edit, Edit) and not edit.recipe.verified for edit in ends.values())
    assert "nearest" in ends
