"""Erase: from a model and a concept to an edit, and to what belongs beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from excise import registry
from excise.api.concepts import ConceptSource, concepts_of
from excise.api.judging import JudgeSource, judges_for, tried
from excise.api.loading import Source, load
from excise.edit import Edit, Making
from excise.edit.file import SUFFIX, record_folder
from excise.erasers.base import Eraser
from excise.errors import BadFile, BadSetting, Infeasible, MissingJudge
from excise.method import Budget
from excise.progress import SILENT, Progress
from excise.settings import build, recipe
from excise.store import Stages, check_writable
from excise.types import Concept, Judge, Kind, TextToImage

PLACES = ("selector", "subset")
"""Settings that name weights, in the erasers that have them."""


def erase(
    model: Source,
    concept: ConceptSource | Sequence[ConceptSource],
    *,
    method: str = "task_vector",
    settings: Mapping[str, object] | None = None,
    budget: Budget = "standard",
    seed: int = 0,
    judge: JudgeSource | None = None,
    strength: float | None = None,
    search: bool = True,
    out: str | os.PathLike[str] | None = None,
    progress: Progress = SILENT,
) -> Edit:
    """The edit that takes one or several concepts out of a model, which is left as it was.

    settings: of the method, as values or texts, over those measured for the model and the budget.
    judge: see `judges_for`. strength: alpha, instead of a search for it, for methods that have
        one; the edit then says that it is not verified. search: False asks for that expressly.
    out: ``NAME.safetensors`` to save it to. ``NAME.record`` beside it holds how it was found, which
        reports need and which brings the concept back, and the stages from which a run that was
        killed goes on to the same bytes. Without it ``Edit.save`` writes both, less the stages.

    Raises:
        UnknownName: of a model, concept or method. BadSetting, BadConcept, BadFile: as they say.
        MissingJudge: the method needs a judge, and there is none.
        Infeasible: no strength removes the concept and keeps the rest. With ``out`` the record has
            both ends, and beside it are an edit that erases and one that keeps, where there are.
    """
    goal = _goal(out)
    concepts = concepts_of(model := load(model), concept)
    eraser = eraser_of(model, method, settings, budget, strength, search, concepts)
    judge_of = _judge(eraser, model, concepts, judge)
    stages = None if goal is None else Stages(record_folder(goal) / "stages")
    try:
        found = eraser.erase(
            model, concepts, seed=seed, judge=judge_of, progress=progress, stages=stages
        )
    except Infeasible as error:
        if goal is not None:
            _keep_ends(goal, error)
        raise
    edit = found.edit.made(Making(record=found.record, tensors=found.tensors))
    if goal is not None:
        edit.save(goal)
    return edit


def eraser_of(
    model: TextToImage,
    method: str,
    settings: Mapping[str, object] | None = None,
    budget: Budget = "standard",
    strength: float | None = None,
    search: bool = True,
    concepts: Sequence[Concept] = (),
) -> Eraser:
    """A method with what was measured for the model, then the budget, then the user's settings.

    concepts: that it is for, where what was measured depends on what they are.

    Raises:
        UnknownName: no such method, or a setting that names weights which the model does not have.
        BadSetting: a setting that it does not have or cannot take.
    """
    cls = registry.get("eraser", method)
    given = {name.replace("-", "_"): value for name, value in (settings or {}).items()}
    has_strength = "strength" in cls.__dataclass_fields__
    if strength is not None:
        if not has_strength:
            raise BadSetting(
                f"expected no strength for {method}, which has none, got {strength:g}; leave it "
                "out, or scale the edit afterwards"
            )
        given["strength"] = strength
    if not search and not has_strength:
        raise BadSetting(
            f"expected no word about a search for {method}, which has no strength to search for, "
            "got --no-search; leave it out"
        )
    if not search and given.get("strength") is None:
        raise BadSetting(
            "expected a strength where none is to be searched for, got none; say, for example, "
            "--strength 1 --no-search"
        )
    ready: Eraser = cls.fitted(model, kind=_kind(concepts)).at(budget)
    made: Eraser = build(cls, {**recipe(ready), **given})
    wanted = getattr(made, "strength", None)
    if wanted is not None and not wanted > 0:
        raise BadSetting(
            f"expected a strength > 0, got {wanted:g}, which would not erase; say, for example, "
            "--strength 1"
        )
    for field in PLACES:  # unknown ones are said now, and not after the pictures are drawn
        if names := getattr(made, field, None):
            model.parameters(names)
    return made


def _kind(concepts: Sequence[Concept]) -> Kind | None:
    """What concepts are, if all of them are the same."""
    kinds = {concept.kind for concept in concepts}
    return kinds.pop() if len(kinds) == 1 else None


def _judge(
    eraser: Eraser, model: TextToImage, concepts: Sequence[Concept], judge: JudgeSource | None
) -> Judge | None:
    """The judge, where the method may need one or the user has given one."""
    needs = "strength" in type(eraser).__dataclass_fields__ and (
        getattr(eraser, "strength", None) is None
    )
    if judge is None and not needs:
        return None
    try:
        found = judges_for(model, concepts, judge).first
        return tried(found, model, concepts)
    except MissingJudge:
        if needs:
            raise
        return None


def _goal(out: str | os.PathLike[str] | None) -> Path | None:
    if out is None:
        return None
    goal = Path(out)
    if goal.suffix != SUFFIX:
        raise BadFile(
            f"expected a name that ends in {SUFFIX} for an edit, got {os.fspath(out)!r}; write, "
            "say, --out no-cat.safetensors"
        )
    check_writable(goal)
    return goal


def _keep_ends(goal: Path, error: Infeasible) -> None:
    """What was found on the way to nothing: the record, and the edits at both ends."""
    details: dict[str, Any] = dict(error.details)
    ends: Mapping[str, Edit] = details.pop("ends", {})
    tensors = details.pop("tensors", {})
    folder = record_folder(goal)
    Making(record=details, tensors=tensors).save(folder)
    for name, edit in ends.items():
        edit.save(folder / f"{name}{SUFFIX}")
