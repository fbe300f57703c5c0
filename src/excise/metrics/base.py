"""What metrics share: the models side by side, pictures drawn once, and means with intervals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from excise.errors import BadConcept, BadSetting, MissingJudge, suggest
from excise.method import Budget
from excise.primitives.clip import extractors
from excise.primitives.kept import PICTURES, kept_probe
from excise.primitives.probe import Look, Probe
from excise.primitives.standing import Standing
from excise.primitives.vision import Call, Extractor
from excise.progress import SILENT
from excise.stats import Interval, Observations, clustered_se
from excise.store import Cache
from excise.types import Concept, EditLike, Judge, Progress, TextToImage

EDIT, BASE, ORACLE = "edit", "base", "oracle"


@dataclass(frozen=True, eq=False, kw_only=True)
class Work:
    """One evaluation: what metrics are given, and the pictures that they share.

    arms: "edit", and "base" and "oracle" where there are such.
    cache: where looks are kept between runs; only a judge with a `digest` has them kept.
    features: what describes pictures by vectors; left out, the judge's network, if it can.
    looks: what was drawn so far, by arm and probe.
    """

    arms: Mapping[str, Standing]
    concepts: tuple[Concept, ...]
    seed: int = 0
    judge: Judge | None = None
    progress: Progress = SILENT
    cache: Cache | None = None
    features: Call | Extractor | None = None
    looks: dict[tuple[str, str], Look] = field(default_factory=dict)

    @property
    def plain(self) -> TextToImage:
        """A model to ask what it knows, and to encode pictures: the base where there is one."""
        return self.arms.get(BASE, self.arms[EDIT]).model

    def judged(self, metric: str) -> Judge:
        """The judge. Raises MissingJudge."""
        if self.judge is None:
            raise MissingJudge(
                f"{metric} needs a judge, which says what pictures show, got none; give one with "
                "--judge, or leave the metric out"
            )
        return self.judge

    @cached_property
    def extractors(self) -> Mapping[str, Extractor]:
        """What describes all pictures: see `excise.primitives.clip.extractors`."""
        return extractors(self.judge, self.plain, self.features)

    def look(self, arm: str, probe: Probe, also: Mapping[str, Extractor] | None = None) -> Look:
        """A probe as one of the models draws it; the same pictures are drawn once.

        also: what is to describe them beside `extractors`.
        """
        name = (arm, probe.digest)
        wanted = {**self.extractors, **(also or {})}
        # A judge that is no panel answers only what it is asked.
        known = self.looks.get(name)
        if (
            known is None
            or not set(probe.labels) <= set(known.sheet.labels or probe.labels)
            or not set(wanted) <= set(known.features)
        ):
            self.looks[name] = known = self._drawn(self.arms[arm], probe, wanted)
        return known.relabelled(probe)

    def every(self, probe: Probe, also: Mapping[str, Extractor] | None = None) -> dict[str, Look]:
        """A probe as all of the models draw it, by arm."""
        return {arm: self.look(arm, probe, also) for arm in self.arms}

    def _drawn(self, arm: Standing, probe: Probe, wanted: Mapping[str, Extractor]) -> Look:
        key = self._key(arm, probe, wanted)
        if self.cache is not None and key is not None:
            kept = self.cache.get(key)
            if kept is not None:
                return Look.of(probe, kept)
        with arm.live() as model:
            look = probe.look(model, self.judge, extractors=wanted, progress=self.progress)
        if self.cache is not None and key is not None:
            made = look.artefact()
            self.cache.put(key, made.tensors, made.record)
        return look

    def _key(
        self, arm: Standing, probe: Probe, wanted: Mapping[str, Extractor]
    ) -> dict[str, Any] | None:
        judge = None if self.judge is None else getattr(self.judge, "digest", None)
        features = {name: getattr(one, "digest", None) for name, one in wanted.items()}
        if self.cache is None or (self.judge is not None and judge is None):
            return None
        if None in features.values():
            return None
        return {"look": probe.digest, "judge": judge, "features": features, **arm.identity}


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A question about an edit: a frozen dataclass whose fields are its settings.

    A subclass says ``name`` (its file's), ``paper`` (where the figure is from, or empty), and how
    to answer from a `Work`. One that says ``want`` has a row in every report, beside what was kept.

    pictures: how many, of whatever the metric counts by.
    want: which way is better, of a metric with one figure a model. label: what its row is called;
    the first paragraph of its words stands below. more: it draws pictures that nobody else draws,
    so a first look leaves it out.
    """

    name: ClassVar[str]
    paper: ClassVar[str] = ""
    budgets: ClassVar[Mapping[Budget, int]] = PICTURES
    want: ClassVar[Literal["high", "low"] | None] = None
    label: ClassVar[str] = ""
    more: ClassVar[bool] = False

    pictures: int = PICTURES["standard"]

    @abstractmethod
    def answer(self, work: Work) -> Mapping[str, Any]:
        """JSON values by name."""

    def drawn(self, work: Work) -> int:
        """Pictures of each edit that nobody else draws; for an estimate of what it will cost."""
        return 0

    def figures(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of an answer, one figure by model: a number, or an interval as `rate_json` has it."""
        return answer

    def said(self, answer: Mapping[str, Any]) -> str:
        """What has to be said beside the figures of an answer, or why there are none."""
        return ""

    @final
    def measure(
        self,
        model: TextToImage,
        base: TextToImage | None = None,
        concepts: Concept | Sequence[Concept] = (),
        *,
        seed: int = 0,
        judge: Judge | None = None,
        progress: Progress | None = None,
        edit: EditLike | None = None,
        oracle: TextToImage | None = None,
        cache: Cache | None = None,
        features: Call | Extractor | None = None,
    ) -> Mapping[str, Any]:
        """Ask about one model; what the arguments mean is said at `prepare`.

        Raises:
            MissingJudge: it needs a judge. BadConcept: no concept.
        """
        return self.answer(
            prepare(
                model,
                base,
                concepts,
                seed=seed,
                judge=judge,
                progress=progress,
                edit=edit,
                oracle=oracle,
                cache=cache,
                features=features,
            )
        )

    def at(self, budget: Budget) -> Self:
        """The same metric with as many pictures as the budget has."""
        if budget not in self.budgets:
            raise BadSetting(
                f"expected a budget among {tuple(self.budgets)}, got {budget!r}: "
                f"{suggest(str(budget), self.budgets)}"
            )
        return replace(self, pictures=self.budgets[budget])

    def kept_probe(self, work: Work) -> Probe:
        """The probe of what has to stay, which several metrics look at."""
        return kept_probe(
            work.plain, work.concepts, self.pictures, seed=work.seed, judge=work.judge
        )


def prepare(
    model: TextToImage,
    base: TextToImage | None,
    concepts: Concept | Sequence[Concept],
    *,
    seed: int = 0,
    judge: Judge | None = None,
    progress: Progress | None = None,
    edit: EditLike | None = None,
    oracle: TextToImage | None = None,
    cache: Cache | None = None,
    features: Call | Extractor | None = None,
) -> Work:
    """What an evaluation of several metrics shares: hand it to ``answer`` of each.

    model: the edited model, or the unedited one together with `edit`. base: the unedited one;
        left out with an edit, it is the model without it; left out without, nothing is compared.
    oracle: a model trained without the concept. cache: looks are kept there between runs.
    features: for distances between sets of pictures, anything that has them, or a function or
        module from uint8 (n, 3, h, w) to (n, d); left out, the judge's network, if it has some.

    Raises:
        BadConcept: no concept.
    """
    wanted = (concepts,) if isinstance(concepts, Concept) else tuple(concepts)
    if not wanted:
        raise BadConcept("expected at least one concept to measure, got none")
    arms = {EDIT: Standing(model=model, edit=edit)}
    if base is not None or edit is not None:
        arms[BASE] = Standing(model=model if base is None else base)
    if oracle is not None:
        arms[ORACLE] = Standing(model=oracle)
    return Work(
        arms=arms,
        concepts=wanted,
        seed=seed,
        judge=judge,
        progress=progress or SILENT,
        cache=cache,
        features=features,
    )


def rate_json(interval: Interval) -> dict[str, float]:
    """A figure between its bounds, as JSON."""
    return asdict(interval)


def mean_interval(
    values: ArrayLike, clusters: Sequence[str | int], level: float = 0.95
) -> Interval:
    """The mean of any numbers (n,), with Student's interval across clusters.

    Fewer than two clusters tell nothing about their variation: then the bounds are the value.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(set(clusters)) < 2:
        value = float(numbers.mean())
        return Interval(value=value, low=value, high=value, level=level)
    data = Observations.of(numbers, {"cluster": clusters})
    half = float(stdtrit(data.fewest_levels - 1, 0.5 + level / 2)) * clustered_se(data)
    return Interval(value=data.mean, low=data.mean - half, high=data.mean + half, level=level)
