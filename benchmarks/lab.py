"""Points of experiments: vectors, healed edits and methods' own, each made and measured once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controls import DERIVED
from figures import figures
from study import TRIAL, Row, Study, Trial
from vectors import ALONE, TRAINED, Direction, Run

from excise import registry
from excise.edit import Edit, Recipe
from excise.erasers.base import Work
from excise.erasers.mending import ELSEWHERE, mended, target_of
from excise.erasers.task_vector import TaskVector
from excise.errors import NumericalError
from excise.primitives import arithmetic
from excise.primitives.data import Pictures, Split
from excise.primitives.prompts import completed
from excise.settings import build, recipe
from excise.store import Stage, load_tensors, save_tensors
from excise.types import Concept

TAU = ("pictures", "contexts", "selector", "steps", "batch", "lr", "weighting")
"""The settings that a task vector depends on before it is confined to some blocks."""

READS: Mapping[str, Sequence[str]] = {
    "finetune": TAU,
    "blocks": TAU,
    "heal-kept": ("walks", "near", "stand_in"),
}
"""By stage, the settings that it depends on; other stages depend on all of them."""


def trained(method: TaskVector) -> dict[str, Any]:
    """The settings that a vector is trained with."""
    own = recipe(method)
    return {name: own[name] for name in TAU}


SETTLING = ("grid", "refine", "rounds", "judged", "kept", "keep", "strength")
"""Of the search for a strength, which comes after what a point of the lab is made of."""


def meant(method: TaskVector, concept: Concept) -> dict[str, Any]:
    """The settings of a healed direction, those filled in that are left to the variant or kind.

    What is kept is named by them, so that it is of one edit whatever the defaults come to be.
    """
    own, (spaces, tokens, spread) = recipe(method), method.searched
    own = {name: own[name] for name in own if name not in SETTLING}
    own |= {"spaces": list(spaces), "tokens": tokens, "spread": spread, "gain": method.share}
    own["pin_to"] = target_of(method, concept)
    if method.anywhere is None and concept.kind != "object":
        own["anywhere"] = ELSEWHERE
    return own


@dataclass(frozen=True, eq=False, kw_only=True)
class Shared(Work):
    """A run that finds again what other runs with the same settings have made."""

    method: TaskVector

    def stage(self, name: str) -> Stage | None:
        """Kept under what the stage depends on, so that runs share what is the same."""
        own = meant(self.method, self.concepts[0])
        settings = {field: own[field] for field in READS.get(name, tuple(own))}
        return None if self.stages is None else self.stages.stage(name, [self.key, settings])

    def pictures(
        self, n: int, split: Split, contexts: Sequence[str] = ("{}",)
    ) -> tuple[Pictures, ...]:
        """Pictures depend on how many they are and what is around them, and on no setting."""
        key: Any = [self.key, n, list(contexts)]
        return Work(
            model=self.model,
            concepts=self.concepts,
            seed=self.seed,
            judge=self.judge,
            progress=self.progress,
            stages=self.stages,
            key=key,
        ).pictures(n, split, contexts)


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A study, in whose folder points are kept."""

    study: Study

    def method(self, concept: str, settings: Mapping[str, Any]) -> TaskVector:
        """With what was measured for the model and what is like the concept, under settings."""
        kind = self.study.concept(concept, shown=False).kind
        return TaskVector.fitted(self.study.model, settings, kind)

    def work(self, concept: str, method: TaskVector, seed: int) -> Shared:
        """A run on a concept, whose stages are kept."""
        study = self.study
        return Shared(
            model=study.model,
            concepts=(completed(study.model, study.concept(concept, shown=False)),),
            seed=seed,
            judge=study.judges(concept).first,
            progress=study.progress,
            stages=study.stages,
            key=study.key(run=study.made(concept, seed)),
            method=method,
        )

    def direction(
        self, maker: str, concept: str, settings: Mapping[str, Any], seed: int = 0
    ) -> Direction:
        """A vector made in one of the ways of `vectors` and `controls`, or that "of" another."""
        if maker.startswith("of "):
            return self.direction("plain", maker.removeprefix("of "), settings, seed)
        study, method = self.study, self.method(concept, settings)
        run = Run(
            method=method,
            work=self.work(concept, method, seed),
            kept=lambda other: self.direction(other, concept, settings, seed),
        )
        if maker in DERIVED:
            return DERIVED[maker](run)
        made = {"seed": seed} if maker in ALONE else study.made(concept, seed)
        key = study.key(vector=maker, made=made, settings=trained(method))
        file = study.work / "vectors" / f"{key}.safetensors"
        if not file.exists():
            save_tensors(file, TRAINED[maker](run))
        return dict(load_tensors(file)[0])

    def point(self, name: Mapping[str, Any], settings: Any, make: Callable[[], Edit]) -> Row:
        """One edit's figures, found where they were kept or measured now.

        With ``why`` alone, where making it ended in numbers that are not finite.

        settings: all that the edit depends on besides its name, as JSON values.
        """
        study, concept, seed = self.study, str(name["concept"]), int(name.get("seed", 0))
        key = study.key(
            point=dict(name),
            settings=settings,
            made=study.made(concept, seed),
            measured=study.measured(concept, TRIAL, seed),
        )

        def measured() -> Row:
            try:
                return {**name, **figures(study.report(make(), concept, seed=seed))}
            except NumericalError as error:
                return {**name, "why": str(error)}

        row = study.row("points", key, measured)
        say(row)
        return row

    def healed(
        self, concept: str, settings: Mapping[str, Any], seed: int = 0, alpha: float = 1.0
    ) -> Row:
        """The point of the vector that the settings make, healed as they say, at a strength."""
        given = {"concept": concept, "settings": dict(settings), "seed": seed, "alpha": alpha}
        method = self.method(concept, settings)

        def make() -> Edit:
            if not settings and (whole := self.default(concept, seed)) is not None:
                edit, chosen = whole
                return (alpha / chosen) * edit
            work = self.work(concept, method, seed)
            tau, _ = method.vector(work)
            found = mended(method, work, tau)
            edited = Recipe.of(method, work.concepts, seed=seed)
            return Edit.of(work.model, arithmetic.scaled(found.deltas, alpha), recipe=edited)

        settled = meant(method, self.study.concept(concept, shown=False))
        return self.point({"experiment": "healed", **given}, settled, make)

    def default(self, concept: str, seed: int) -> tuple[Edit, float] | None:
        """The default's edit, which `reproduce.py` measures, and its strength, if one was chosen.

        Its search for a strength costs half as much again as a point of this kind, which is saved
        with the edit that is needed anyway.
        """
        edit, _ = self.study.edit(Trial(concept=concept, seed=seed))
        making = edit.making
        strength = 0.0 if making is None else float(making.record.get("strength") or 0.0)
        return (edit, strength) if strength else None

    def scaled(
        self, maker: str, concept: str, alpha: float, settings: Mapping[str, Any], seed: int = 0
    ) -> Row:
        """The point of a vector at a strength."""
        given = {"concept": concept, "settings": dict(settings), "seed": seed, "alpha": alpha}
        method = replace(self.method(concept, settings), strength=alpha, variant="paper")

        def make() -> Edit:
            deltas = arithmetic.scaled(self.direction(maker, concept, settings, seed), alpha)
            concepts = self.work(concept, method, seed).concepts
            edited = Recipe.of(method, concepts, seed=seed)
            return Edit.of(self.study.model, deltas, recipe=edited)

        name = {"experiment": "vector", "maker": maker, **given}
        return self.point(name, trained(method), make)

    def drift(self, concept: str, settings: Mapping[str, Any]) -> Iterator[Row]:
        """By block, and of all: the plain vector beside what a fine-tune does to any pictures."""
        own, other = (self.direction(maker, concept, settings) for maker in ("plain", "generic"))
        whole = {"all": tuple(own)}
        for block, names in {**arithmetic.coarse_blocks(self.study.model), **whole}.items():
            parts = [arithmetic.restricted(one, names) for one in (own, other)]
            if all(parts):
                tau, drift = map(arithmetic.norm, parts)
                cosine = arithmetic.cosine(*parts)
                yield {"concept": concept, "block": block, "tau": tau, "drift": drift,
                       "cosine": cosine}  # fmt: skip

    def trial(self, *, concept: str, method: str, settings: Mapping[str, Any]) -> Row:
        """The point of a method's own edit, under settings over its paper's.

        Not over those that were measured, so that what won before changes no later trial.
        """
        whole = recipe(build(registry.get("eraser", method), settings))
        study, trial = self.study, Trial(concept=concept, method=method, settings=whole)
        given = {"concept": concept, "method": method, "settings": settings}
        name = {"experiment": "method", **given}
        return self.point(name, study.name(trial), lambda: study.edit(trial)[0])


def say(row: Mapping[str, Any]) -> None:
    """One line a point, on the terminal."""
    keep = ("concept", "maker", "method", "alpha", "settings")
    head = " ".join(f"{row[k]}" for k in keep if k in row)
    if "why" in row:
        sys.stdout.write(f"{head} | {row['why']}\n")
        sys.stdout.flush()
        return
    rungs = " ".join(
        f"{key}: "
        + "/".join(f"{rates.get(arm, float('nan')):.0%}" for arm in ("base", "edit", "oracle"))
        for key, rates in row.get("rungs", {}).items()
        if rates
    )
    line = (
        f"{head} | plain {row['plain']:.1%} kept {row.get('kept', 0):.1%} "
        f"(low {row.get('kept_low') or 0:.1%}, worst {row.get('worst_label')} "
        f"{row.get('worst', 0):.0%}, near {row.get('near') or 0:.0%}) | {rungs}"
    )
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
