"""Vectors are made once, from pictures that are drawn once, and settings have an effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import controls
import lab
import pytest
import torch
import vectors
from controls import DERIVED, PARTS, WAYS
from lab import READS, TAU, Lab, meant
from study import Trial
from tests.benchmarks.tiny_study import SMALL, Tiny, model
from torch import Tensor

from excise.edit import Edit, Making, Recipe
from excise.erasers import blocks, task_vector
from excise.erasers.mending import Mended
from excise.erasers.task_vector import TaskVector
from excise.errors import NumericalError
from excise.primitives import arithmetic
from excise.store import Artefact
from excise.types import Concept


@pytest.fixture(scope="module")
def tiny() -> Any:
    return model()


@pytest.fixture
def own(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(blocks, "WALKS", 4)  # enough for scores that nobody reads
    return Lab(study=Tiny(tmp_path, of=tiny))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often something that takes long is done."""
    found: dict[str, int] = {}

    def count(place: Any, name: str) -> None:
        inner = getattr(place, name)

        def counted(*args: Any, **given: Any) -> Any:
            found[name] = found.get(name, 0) + 1
            return inner(*args, **given)

        monkeypatch.setattr(place, name, counted)

    count(vectors, "finetune")
    count(arithmetic, "block_scores")
    inner = task_vector.finetune

    def trained(*args: Any, **given: Any) -> Any:
        if given["stage"].load() is None:
            found["finetune"] = found.get("finetune", 0) + 1
        return inner(*args, **given)

    monkeypatch.setattr(task_vector, "finetune", trained)
    return found


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_derived_trains_nothing_and_scores_blocks_once(
    own: Lab, counts: dict[str, int]
) -> None:
    plain = own.direction("plain", "cat", SMALL)
    own.direction("generic", "cat", SMALL)
    assert counts == {"finetune": 2, "block_scores": 1}
    found = {name: own.direction(name, "cat", SMALL) for name in DERIVED}
    assert counts == {"finetune": 2, "block_scores": 1}
    assert same(own.direction("plain", "cat", SMALL), plain)
    assert all(not same(one, plain) for name, one in found.items() if name not in PARTS)
    assert {*WAYS, *PARTS} == {*vectors.TRAINED, *DERIVED}


def test_the_drift_is_the_same_for_every_concept_and_another_ones_vector_is_its_own(
    own: Lab, counts: dict[str, int]
) -> None:
    generic = own.direction("generic", "cat", SMALL)
    assert same(own.direction("generic", "dog", SMALL), generic)
    assert counts["finetune"] == 1
    of_dog = own.direction("of dog", "cat", SMALL)
    assert same(of_dog, own.direction("plain", "dog", SMALL))
    assert counts["finetune"] == 2
    assert not same(of_dog, own.direction("plain", "cat", SMALL))


def test_ways_share_the_pictures_that_they_have_in_common(own: Lab) -> None:
    own.direction("plain", "cat", SMALL)
    folder = own.study.work / "stages"
    drawn = len(list(folder.glob("pictures-*")))
    for name in ("true captions", "longer", "early", "half of the gain"):
        own.direction(name, "cat", SMALL)
    assert len(list(folder.glob("pictures-*"))) == drawn == 1
    own.direction("spanning", "cat", SMALL)
    assert len(list(folder.glob("pictures-*"))) == 2


def test_a_part_by_chance_is_as_long_as_the_part_that_was_chosen(
    own: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks of equal gain, so that half of the gain is half of the blocks.
    def scored(run: Any, direction: Mapping[str, Tensor]) -> tuple[Any, ...]:
        groups = arithmetic.coarse_blocks(run.work.model)
        return tuple(
            arithmetic.BlockScore(
                block=name,
                gain=1.0,
                cost=1.0 + i,
                norm=arithmetic.norm(arithmetic.restricted(direction, groups[name])),
            )
            for i, name in enumerate(groups)
        )

    monkeypatch.setattr(controls, "_scores", scored)
    plain = own.direction("plain", "cat", SMALL)
    chosen = own.direction("half of the gain", "cat", SMALL)
    drawn = [own.direction(f"as many by chance, {i}", "cat", SMALL) for i in (1, 2, 3)]
    groups = arithmetic.coarse_blocks(own.study.model)
    for one in drawn:
        assert arithmetic.norm(one) == pytest.approx(arithmetic.norm(chosen))
        inside = {name: plain[name] for name in one}
        assert arithmetic.cosine(one, inside) == pytest.approx(1)
        names = [name for name, weights in groups.items() if {*weights} <= {*one}]
        assert len(names) == len(groups) - len(groups) // 2
    assert len({tuple(one) for one in drawn}) > 1


Healed = Callable[..., tuple[dict[str, Tensor], Edit]]


@pytest.fixture
def healed(own: Lab, monkeypatch: pytest.MonkeyPatch) -> Healed:
    """The vector that healing begins with, and the edit, under some settings."""
    begun: list[dict[str, Tensor]] = []
    monkeypatch.setattr(Lab, "point", lambda self, name, settings, make: make())

    def mended(method: TaskVector, work: Any, tau: dict[str, Tensor]) -> Mended:
        begun.append(tau)
        deltas = arithmetic.negated(tau, method.hard or 1.0)
        return Mended(deltas=deltas, record={})

    monkeypatch.setattr(lab, "mended", mended)

    def heal(**settings: Any) -> tuple[dict[str, Tensor], Edit]:
        edit: Any = own.healed("cat", {**SMALL, **settings})
        return begun[-1], edit

    return heal


@pytest.mark.slow
def test_healing_begins_with_the_vector_that_the_settings_make(
    healed: Healed, own: Lab, counts: dict[str, int]
) -> None:
    first, _ = healed(hard=2.0)
    assert same(arithmetic.negated(first), own.direction("plain", "cat", SMALL))
    again, _ = healed(hard=3.0, heal=5)
    assert same(first, again)
    assert counts["finetune"] == 1
    changed: tuple[dict[str, Any], ...] = (
        {"steps": 3}, {"lr": 1e-3}, {"batch": 3}, {"contexts": ("{}",)}, {"gain": 0.1},
        {"subset": ("mid",)},
    )  # fmt: skip
    for settings in changed:
        assert not same(first, healed(hard=2.0, **settings)[0]), settings
    assert counts["finetune"] == 5  # those of gain and subset begin with the first


def test_the_default_itself_is_its_edit_back_at_the_strength_that_is_asked_for(
    own: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = own.direction("plain", "cat", SMALL)
    whole = Edit.of(own.study.model, plain, recipe=Recipe(method="task_vector"))
    whole = whole.made(Making(record={"strength": 0.5}, tensors={}))
    asked: list[Trial] = []

    def edit(self: Tiny, trial: Trial) -> tuple[Edit, dict[str, Any]]:
        asked.append(trial)
        return whole, {}

    monkeypatch.setattr(Tiny, "edit", edit)
    monkeypatch.setattr(Lab, "point", lambda self, name, settings, make: make())
    found: Any = own.healed("cat", {}, seed=3, alpha=2.0)
    assert asked == [Trial(concept="cat", seed=3)]
    assert same({name: found.dense(name) for name in found.deltas},
                arithmetic.scaled(plain, 4.0))  # fmt: skip


def test_a_point_depends_on_settings_that_were_measured_and_on_the_judge(
    own: Lab, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(lab, "say", lambda row: None)
    monkeypatch.setattr(lab, "figures", lambda report: {"plain": 0.0})
    monkeypatch.setattr(Tiny, "report", lambda self, *given, **named: None)

    def point(of: Lab, settings: Any = None) -> int:
        name = {"experiment": "e", "concept": "cat", "seed": 0}
        of.point(name, settings, lambda: made.append("one"))  # type: ignore[arg-type, return-value, func-returns-value]
        return len(made)

    assert point(own) == 1
    assert point(own) == 1
    assert point(own, {"lr": 1}) == 2
    other = Lab(study=Tiny(own.study.work, of=tiny))
    monkeypatch.setattr(type(other.study.judge), "digest", "another", raising=False)
    object.__setattr__(other.study.judge, "digest", "another")
    assert point(other) == 3
    monkeypatch.setattr(lab, "TRIAL", lab.TRIAL.__class__(**{**vars(lab.TRIAL), "score": 5}))
    assert point(own) == 4


def test_numbers_that_are_not_finite_are_a_row_that_says_why(own: Lab) -> None:
    def broken() -> Edit:
        raise NumericalError("the loss is not finite")

    name = {"experiment": "e", "concept": "cat", "seed": 0}
    assert own.point(name, None, broken) == {**name, "why": "the loss is not finite"}
    assert own.point(name, None, broken)["why"]  # it is kept


def test_what_settings_mean_holds_what_the_variant_and_the_concept_fill_in() -> None:
    cat, sketch = Concept("cat"), Concept("sketch", kind="style")
    found = meant(TaskVector(), cat)
    assert found == meant(TaskVector(spread=True, tokens=4, gain=1.0), cat)
    assert found != meant(TaskVector(spread=False), cat)
    assert found["anywhere"] is None
    assert meant(TaskVector(), sketch)["anywhere"] == lab.ELSEWHERE
    assert meant(TaskVector(anywhere=1), sketch)["anywhere"] == 1
    assert meant(TaskVector(variant="paper"), cat)["gain"] == 0.5
    assert [meant(TaskVector(), one)["pin_to"] for one in (cat, sketch)] == ["hard", "away"]


def test_the_drift_stands_beside_the_vector_block_by_block(own: Lab) -> None:
    rows = list(own.drift("cat", SMALL))
    assert [row["block"] for row in rows[:-1]] == [*arithmetic.coarse_blocks(own.study.model)]
    tau, drift = (own.direction(name, "cat", SMALL) for name in ("plain", "generic"))
    whole = rows[-1]
    assert whole["block"] == "all"
    assert whole["tau"] == pytest.approx(arithmetic.norm(tau))
    assert whole["cosine"] == pytest.approx(arithmetic.cosine(tau, drift))
    for name, own_norm in (("tau", tau), ("drift", drift)):
        assert sum(row[name] ** 2 for row in rows[:-1]) == pytest.approx(
            arithmetic.norm(own_norm) ** 2
        )


class Spied(TaskVector):
    """Writes down which of its settings are read."""

    read: set[str] = set()  # noqa: RUF012

    def __getattribute__(self, name: str) -> Any:
        if name in FIELDS:
            Spied.read.add(name)
        return super().__getattribute__(name)


FIELDS = {field.name for field in fields(TaskVector)}


def test_stages_are_kept_under_all_the_settings_that_they_read(own: Lab) -> None:
    """A setting that is read and is no part of the key would silently do nothing."""
    fitted = own.method("cat", {**SMALL, "variant": "healed"})
    method, work = Spied(**vars(fitted)), own.work("cat", fitted, 0)
    kept: dict[str, set[str]] = {}

    class Watched(type(work)):  # type: ignore[misc]
        def kept(self, name: str, compute: Any) -> Artefact:
            Spied.read.clear()
            tensors, record = compute()
            kept[name] = set(Spied.read)
            return Artefact(tensors=tensors, record=record)

    watched = Watched(**{**vars(work), "stages": None})
    task_vector.mended(method, watched, method.vector(watched)[0])
    assert kept["heal-kept"] <= {*READS["heal-kept"]}
    assert kept["blocks"] <= {*READS["blocks"]}
    assert {"heal-kept", "blocks"} <= {*kept}
    Spied.read.clear()
    method.vector(work)
    # What confines it to some blocks, of which the variant has its own, comes after what is kept.
    assert Spied.read - {"gain", "subset", "variant"} <= {*TAU}
    for name, make in vectors.TRAINED.items():
        if name != "plain":
            Spied.read.clear()
            # `replace` reads every field, to copy it.
            assert isinstance(make(vectors.Run(method=method, work=work, kept=dict)), dict)
            assert Spied.read <= {*TAU} or Spied.read >= FIELDS
