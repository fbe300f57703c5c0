"""What the sections of an evaluation share: models, judges, and what was drawn, drawn once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from excise.primitives.clip import CLIP, Clip, extractors
from excise.primitives.panel import label_of
from excise.primitives.probe import Look, Probe
from excise.primitives.prompts import completed
from excise.primitives.vision import Call, Extractor
from excise.progress import SILENT
from excise.store import Archive, Artefact, Cache, Json, Stage, Stages, hash_json
from excise.suite.arms import SHARED, Arm
from excise.suite.jury import Jury
from excise.suite.sizes import Sizes
from excise.types import Concept, Costs, Judge, Progress, TextToImage

Made = tuple[Mapping[str, Tensor], Json]
VERSION = 3
"""Of what is kept between runs; raise it where the same key would come to mean another result."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """One evaluation of some models on one concept.

    judge: what counts, a `Jury` where several look. shipped: results that came with the package,
    which are only read. cache: where those of the base and the oracle are kept between runs.
    stages: where those of the other arms are, to go on from after a kill. spent: by section and
    arm, also where the result had been kept. counted: results whose costs are in it. networks:
    those of `extractors`, once there are some. diverged: searches that a loss ended which is no
    finite number, by what they are called, with the message. unmeasured: measures that could not be
    taken, by what they are called, with the reason. features: what describes pictures by vectors,
    in the place of the judge's network. clip: in the place of the model's own.
    """

    arms: Mapping[str, Arm]
    concept: Concept
    judge: Judge
    sizes: Sizes
    seed: int = 0
    progress: Progress = SILENT
    shipped: Archive | None = None
    cache: Cache | None = None
    stages: Stages | None = None
    looks: dict[tuple[str, str], Look] = field(default_factory=dict)
    spent: dict[tuple[str, str], Costs] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    networks: list[dict[str, Extractor]] = field(default_factory=list)
    diverged: dict[str, str] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    features: Call | Extractor | None = None
    clip: Clip | None = None

    @property
    def plain(self) -> TextToImage:
        """A model to ask what it knows, and to encode pictures: the base where there is one."""
        return (self.role("base") or next(iter(self.arms.values()))).model

    @property
    def full(self) -> Concept:
        """The concept, with what the model says of it."""
        return completed(self.plain, self.concept)

    @property
    def label(self) -> str:
        """The judge's word for the concept."""
        return label_of(self.judge, self.full)

    @property
    def jury(self) -> Jury | None:
        """The judges side by side; None if there is one alone."""
        return self.judge if isinstance(self.judge, Jury) else None

    @property
    def question(self) -> Arm:
        """The model in question: the edit, else the first."""
        return self.role("edit") or next(iter(self.arms.values()))

    def role(self, role: str) -> Arm | None:
        """The first arm of a role."""
        return next((arm for arm in self.arms.values() if arm.role == role), None)

    @property
    def extractors(self) -> Mapping[str, Extractor]:
        """What describes pictures by vectors: see `excise.primitives.clip.extractors`."""
        if not self.networks:
            found = extractors(self.judge, self.plain, self.features)
            self.networks.append(found if self.clip is None else {**found, CLIP: self.clip})
        return self.networks[0]

    def look(self, arm: Arm, probe: Probe, section: str, *, described: bool = False) -> Look:
        """A probe as one of the models draws it; the same pictures are drawn once.

        described: by the `extractors` too.
        """
        name = (arm.key, probe.digest)
        known = self.looks.get(name)
        wanted = self.extractors if described else {}
        # A judge that is no panel answers only what it is asked.
        if (
            known is None
            or not set(probe.labels) <= set(known.sheet.labels)
            or not set(wanted) <= set(known.features)
        ):

            def draw() -> Made:
                with arm.live() as model:
                    made = probe.look(
                        model, self.judge, extractors=wanted, progress=self.progress
                    ).artefact()
                return made.tensors, made.record

            key: dict[str, Any] = {"look": probe.digest, "labels": sorted(probe.labels)}
            digests = {one: getattr(network, "digest", None) for one, network in wanted.items()}
            if wanted:
                key["features"] = digests
            sure = None not in digests.values()  # nothing else tells two functions apart
            made = self.kept(section, arm, key, draw, find=sure)
            self.looks[name] = known = Look.of(probe, made)
        return known.relabelled(probe)

    def every(self, probe: Probe, section: str, *, described: bool = False) -> dict[str, Look]:
        """A probe as all of the models draw it, by arm."""
        return {
            key: self.look(arm, probe, section, described=described)
            for key, arm in self.arms.items()
        }

    def kept(
        self,
        section: str,
        arm: Arm,
        key: Mapping[str, Any],
        make: Callable[[], Made],
        *,
        find: bool = True,
    ) -> Artefact:
        """A result of one arm: found where it was kept, or made and kept.

        key: all that it depends on besides the arm and the judge, as JSON values. find: False where
        that cannot be said: then it is made, and kept nowhere.
        """
        whole: Json = {
            "version": VERSION,
            "section": section,
            "arm": arm.identity,
            "judge": self._judge,
            **key,
        }
        found = self._find(arm, whole) if find else None
        if found is None:
            before = arm.model.costs
            tensors, record = make()
            costs = (arm.model.costs - before).to_json()
            result: Json = {"record": record, "costs": costs}
            made = Artefact(tensors=dict(tensors), record=result)
            found = self._keep(arm, whole, made) if find else made
        held: Any = found.record
        name, once = (section, arm.key), hash_json([arm.key, whole])
        if once not in self.counted:
            self.spent[name] = self.spent.get(name, Costs()) + Costs(**held["costs"])
            self.counted.add(once)
        return Artefact(tensors=found.tensors, record=held["record"])

    @property
    def _judge(self) -> str | None:
        digest = getattr(self.judge, "digest", None)
        return None if digest is None else str(digest)

    def _find(self, arm: Arm, key: Json) -> Artefact | None:
        if self._judge is None:  # nobody could tell whether it is still the same judge
            return None
        if arm.role in SHARED:
            for store in (self.shipped, self.cache):
                if store is not None and (found := store.get(key)) is not None:
                    return found
        return None if self.stages is None else _stage(self.stages, key).load()

    def _keep(self, arm: Arm, key: Json, made: Artefact) -> Artefact:
        tensors, record = made.tensors, made.record
        if self._judge is None:
            return made
        if arm.role in SHARED and self.cache is not None and self.cache.put(key, tensors, record):
            return self.cache.get(key) or made
        return made if self.stages is None else _stage(self.stages, key).finish(tensors, record)


def _stage(stages: Stages, key: Json) -> Stage:
    return stages.stage("evaluate", {"key": hash_json(key)})
