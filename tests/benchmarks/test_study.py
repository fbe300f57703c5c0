"""What is kept is found again when nothing that it depends on has changed, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import study
import torch
from claims import ATTACK, CLAIM, LADDER, POOL, claimed
from study import RENDERS, TRIAL, Trial
from tests.benchmarks.tiny_study import Bright, Tiny, model

import excise
from excise.edit import Edit, Recipe
from excise.emoji.pictures import concept_pictures
from excise.erasers.task_vector import TaskVector
from excise.errors import Infeasible
from excise.primitives.data import parts
from excise.suite import SIZES, Sizes
from excise.types import digest

CAT = Trial(concept="cat")
SMALL = Sizes(
    plain=1, pairs=1, others=1, kept=2, rungs=(1, 2), prompts=2, restarts=3, best_of=1, select=2,
    score=2, steps=2, attacker=4, held_out=2, entries=2, embedding=2, attacks=("reseed",), asked=4,
    effort="quick",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> Any:
    return model()


@pytest.mark.parametrize(
    "other",
    [
        replace(CAT, seed=1),
        replace(CAT, budget="quick"),
        replace(CAT, settings={"lr": 2e-5}),
        replace(CAT, concept="dog"),
        replace(CAT, method="esd"),
    ],
)
def test_another_trial_has_another_name(tiny: Any, tmp_path: Path, other: Trial) -> None:
    one = Tiny(tmp_path, of=tiny)
    assert one.name(other) != one.name(CAT)


def test_settings_that_come_to_the_same_have_one_name(tiny: Any, tmp_path: Path) -> None:
    one = Tiny(tmp_path, of=tiny)
    said = replace(CAT, settings={"lr": TaskVector.fitted(tiny).lr})
    assert one.name(said) == one.name(CAT) == Tiny(tmp_path, of=tiny).name(CAT)


def test_settings_that_were_measured_anew_make_another_edit(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Tiny(tmp_path, of=tiny).name(CAT)
    monkeypatch.setattr(TaskVector, "measured", {"tiny": {"lr": 3e-4}})
    assert Tiny(tmp_path, of=tiny).name(CAT) != before


def test_names_hold_the_model_the_judge_and_the_version(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Tiny(tmp_path, of=tiny)
    edit = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4)}, recipe=Recipe(method="m"))

    def names(of: Tiny) -> tuple[Any, ...]:
        return of.name(CAT), of._folder(edit, "cat", TRIAL, 0)

    first = names(one)
    assert names(Tiny(tmp_path, of=tiny)) == first
    judged = names(Tiny(tmp_path, judge=Bright(digest="another"), of=tiny))
    moved = model()
    with torch.no_grad():
        moved.parameters("*")["unet.conv_out.bias"].add_(1)
    weights = names(Tiny(tmp_path, of=moved))
    monkeypatch.setattr(study, "VERSION", study.VERSION + 1)
    version = names(Tiny(tmp_path, of=tiny))
    for i in range(2):
        assert len({found[i] for found in (first, judged, weights, version)}) == 4


def test_a_measurement_is_named_by_its_sizes_seed_and_oracle(tiny: Any, tmp_path: Path) -> None:
    one = Tiny(tmp_path, of=tiny)
    edit = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4)}, recipe=Recipe(method="m"))
    other = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4) / 2}, recipe=Recipe(method="m"))
    found = {
        one._folder(edit, "cat", TRIAL, 0),
        one._folder(edit, "cat", TRIAL, 1),
        one._folder(edit, "cat", replace(TRIAL, select=3), 0),
        one._folder(other, "cat", TRIAL, 0),
    }
    one._oracles["cat"] = tiny
    found.add(one._folder(edit, "cat", TRIAL, 0))
    assert len(found) == 5


@pytest.mark.parametrize("sizes", [TRIAL, LADDER, CLAIM, SIZES["standard"]])
def test_renders_leave_attacker_and_held_out_sets_what_their_sizes_ask_for(sizes: Sizes) -> None:
    own = parts(RENDERS)
    assert len(own["attack"]) >= sizes.attacker
    assert len(own["test"]) >= sizes.held_out
    # The watermark's pictures are the eraser's too.
    fitted: Any = TaskVector.measured["emoji"]
    assert len(own["tau"]) >= fitted["pictures"]
    assert min(len(own["find"]), len(own["choose"])) >= 64


def test_renders_are_different_pictures() -> None:
    some = concept_pictures("watermark", 60)
    assert len({digest(picture) for picture in some}) == 60


@pytest.mark.slow
def test_a_claim_finds_what_the_ladder_has_drawn(tiny: Any, tmp_path: Path) -> None:
    one = Tiny(tmp_path, of=tiny)
    edit = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4) / 9}, recipe=Recipe(method="m"))
    ladder = one.report(edit, "cat", sizes=SMALL)
    spent = tiny.costs
    found = one.report(edit, "cat", sizes=replace(SMALL, rungs=()))
    assert (tiny.costs - spent).evaluations == 0
    (before,), (after,) = ladder.record.rates[:1], found.record.rates[:1]
    assert after == before
    assert [a.name for a in ladder.record.attacks] == ["concept_inversion", "reseed"]
    assert [a.name for a in found.record.attacks] == ["reseed"]
    assert one.report(edit, "cat", sizes=SMALL).to_json()["seed"] == 0  # read, not made


def test_a_claim_differs_from_the_ladder_in_its_attack_alone() -> None:
    changed = {n for n, v in vars(CLAIM).items() if v != getattr(LADDER, n)}
    assert changed <= {"rungs", "decoys", "decide", "attacks", "asked"}
    assert CLAIM.rungs == ()
    for rung in LADDER.rungs:
        settings = claimed(rung)[ATTACK]
        assert settings["rung"] == rung
        assert settings["restarts"] == 24  # the best of 8 from a pool of three times as many
    assert POOL["restarts"] // 3 == 8


def test_a_search_without_an_answer_leaves_the_edit_nearest_to_both_ends(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Tiny(tmp_path, of=tiny)
    nearest = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4)}, recipe=Recipe(method="m"))

    def erase(*given: Any, **named: Any) -> None:
        raise Infeasible("infeasible: none", details={"ends": {"nearest": nearest}})

    monkeypatch.setattr(excise, "erase", erase)
    for _ in range(2):  # made, and read
        edit, notes = one.edit(CAT)
        assert edit == nearest
        assert notes == {"feasible": False, "verified": False, "infeasible": "infeasible: none"}
    assert one.edit(replace(CAT, method="esd"))[1] == {}  # which searches for no strength


def test_other_settings_of_attacks_are_another_measurement(tiny: Any, tmp_path: Path) -> None:
    one = Tiny(tmp_path, of=tiny)
    keys = [one.measured("cat", CLAIM, 0, claimed(rung)) for rung in (1, 4)]
    assert keys[0] != keys[1]
