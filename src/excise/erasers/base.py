"""What every eraser shares: its budgets, its settings by model, and the way from run to Edit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from excise.edit import Edit, Encoded, Recipe
from excise.erasers.declared import SAID, Given, Need, lacking
from excise.errors import BadConcept, Unsupported
from excise.method import Budget, Method
from excise.primitives.data import Pictures, Split, concept_pictures
from excise.primitives.prompts import completed
from excise.progress import SILENT
from excise.settings import recipe
from excise.store import Artefact, Stage, Stages
from excise.store.files import Json
from excise.types import Concept, Hook, Judge, Kind, Progress, TextToImage

BUDGETS: Mapping[Budget, float] = {"quick": 0.25, "standard": 1.0, "thorough": 2.0}


@dataclass(frozen=True, eq=False, kw_only=True)
class Work:
    """One run: what an eraser is given.

    key: the JSON value of all that its stages depend on. used: records of the pictures that it has
    asked for, by what it asked.
    """

    model: TextToImage
    concepts: tuple[Concept, ...]
    seed: int
    judge: Judge | None
    progress: Progress
    stages: Stages | None = None
    key: Json = None
    used: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def stage(self, name: str) -> Stage | None:
        """A stage of this run to resume from and to keep a result in; None without a folder."""
        return None if self.stages is None else self.stages.stage(name, self.key)

    def kept(self, name: str, compute: Callable[[], tuple[Mapping[str, Tensor], Json]]) -> Artefact:
        """What the stage ``name`` has kept; computed, and kept if there is a folder, otherwise."""
        stage = self.stage(name)
        if stage is not None:
            return stage.get(compute)
        tensors, record = compute()
        return Artefact(tensors=tensors, record=record)

    def pictures(
        self, n: int, split: Split, contexts: Sequence[str] = ("{}",)
    ) -> tuple[Pictures, ...]:
        """``n`` pictures of each concept, drawn once; see `concept_pictures`."""
        found = []
        for i, concept in enumerate(self.concepts):

            def draw(concept: Concept = concept) -> tuple[Mapping[str, Tensor], Json]:
                made = concept_pictures(
                    self.model,
                    concept,
                    n,
                    split=split,
                    seed=self.seed,
                    contexts=contexts,
                    progress=self.progress,
                )
                return {"latents": made.latents}, made.record()

            name = f"pictures-{split}-{i}"
            kept = self.kept(name, draw)
            found.append(Pictures.of(kept.tensors["latents"], kept.record))
            self.used[name] = found[-1].record()
        return tuple(found)

    def latents(self, n: int, split: Split, contexts: Sequence[str] = ("{}",)) -> Tensor:
        """Those of `pictures` of all concepts, (m, c, h, w)."""
        return torch.cat([made.latents for made in self.pictures(n, split, contexts)])


@dataclass(frozen=True, eq=False, kw_only=True)
class Change:
    """What a method finds: deltas, hooks or both.

    record: JSON values for the report (curves, where pictures came from, what was chosen).
    tensors: what belongs to the record, by name, such as the inputs that were found on the way.
    verified: a judge has seen that the concept is gone.
    """

    deltas: Mapping[str, Tensor | Encoded] = field(default_factory=dict)
    hooks: Sequence[Hook] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    verified: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Erased:
    """An edit, and beside it what must not be released with it: how it was found, and its costs."""

    edit: Edit
    record: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Eraser(Method):
    """A method: a frozen dataclass whose fields are its hyperparameters.

    A subclass says ``name`` (its file's), ``paper``, and how to find a `Change`.

    needs: of the model; one that lacks it is refused. given: what a concept may be given by.
    unset: by setting, what None stands for, where that is its default; the docs print it.
    scaled: the fields that a budget multiplies. budgeted: those that one sets outright. smallest:
    settings with which a run does everything once and proves nothing; what the tests of all erasers
    use.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    given: ClassVar[frozenset[Given]] = frozenset({"words"})
    unset: ClassVar[Mapping[str, str]] = {}
    scaled: ClassVar[tuple[str, ...]] = ("steps",)
    budgeted: ClassVar[Mapping[Budget, Mapping[str, object]]] = {}
    smallest: ClassVar[Mapping[str, object]] = {}

    @property
    def needed(self) -> frozenset[Need]:
        """Of `needs`, what these settings need."""
        return self.needs

    @classmethod
    def sees(cls, kind: Kind) -> bool:
        """Are the pictures that a concept of this kind brings looked at?"""
        return "pictures" in cls.given

    @abstractmethod
    def change(self, work: Work) -> Change:
        """Find the change; the model is to be left as it was."""

    @final
    def run(
        self,
        model: TextToImage,
        concepts: Concept | Sequence[Concept],
        *,
        seed: int = 0,
        judge: Judge | None = None,
        progress: Progress | None = None,
        stages: Stages | None = None,
    ) -> Edit:
        """The edit that takes the concepts out of the model, which is left as it was.

        stages: where to keep what is found on the way, and to go on from after a kill.

        Raises:
            BadConcept: no concept, or two of one name. Unsupported: a model that lacks something
                the method needs.
        """
        return self.erase(
            model, concepts, seed=seed, judge=judge, progress=progress, stages=stages
        ).edit

    @final
    def erase(
        self,
        model: TextToImage,
        concepts: Concept | Sequence[Concept],
        *,
        seed: int = 0,
        judge: Judge | None = None,
        progress: Progress | None = None,
        stages: Stages | None = None,
    ) -> Erased:
        """As `run`, with the record of how the edit was found.

        What the model says of a concept, such as its synonyms, is added where the concept itself
        says nothing; the edit's recipe has the concepts as they were used.
        """
        given = (concepts,) if isinstance(concepts, Concept) else tuple(concepts)
        wanted = tuple(completed(model, concept) for concept in given)
        names = [concept.name for concept in wanted]
        if not names or len(set(names)) < len(names):
            raise BadConcept(f"expected one or more concepts of different names, got {names}")
        if lacks := lacking(model, self.needed):
            raise Unsupported(
                f"{self.name} needs {' and '.join(SAID[need] for need in lacks)}, which "
                f"{model.name!r} ({model.family}) has not; excise list erasers --model "
                "MODEL, with the model named as it was here, says which methods serve it"
            )
        work = Work(
            model=model,
            concepts=wanted,
            seed=seed,
            judge=judge,
            progress=progress or SILENT,
            stages=stages,
            key=None if stages is None else self._key(model, wanted, seed, judge),
        )
        before = model.costs
        found = self.change(work)
        edit = Edit.of(
            model,
            found.deltas,
            found.hooks,
            recipe=Recipe.of(self, wanted, seed=seed, verified=found.verified),
        )
        record = {
            **found.record,
            "pictures": list(work.used.values()),
            "costs": (model.costs - before).to_json(),
        }
        return Erased(edit=edit, record=record, tensors=found.tensors)

    def within(self, budget: Budget) -> Mapping[str, object]:
        """A quarter of the steps (quick), all (standard), or twice as many."""
        factor = BUDGETS[budget]
        scaled = {name: max(1, round(getattr(self, name) * factor)) for name in self.scaled}
        return {**scaled, **self.budgeted.get(budget, {})}

    def _key(
        self, model: TextToImage, concepts: Sequence[Concept], seed: int, judge: Judge | None
    ) -> Json:
        kind = type(judge)  # all there is to say of a judge that has no digest
        return {
            "judge": str(getattr(judge, "digest", f"{kind.__module__}.{kind.__qualname__}")),
            "method": self.name,
            "settings": recipe(self),
            "concepts": [concept.to_json() for concept in concepts],
            "seed": seed,
            "model": model.fingerprint(),
            "edits": list(model.edits),
            "precision": model.precision,
        }
