"""What an edit left as it was: every object and style by itself, on equal prompts and seeds.

A search over strengths looks at the same probe again and again: the base is drawn once, and each
candidate once, with no more pictures than the budget has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from excise.errors import BadSetting, UserError
from excise.method import Budget
from excise.primitives import prompts
from excise.primitives.panel import labels_of
from excise.primitives.probe import Look, Probe, Shot
from excise.rng import seed_of
from excise.stats import Interval, Observations, difference_interval, wilson, wilson_upper
from excise.stats.clusters import difference_se
from excise.types import Concept, Judge, TextToImage

PICTURES: Mapping[Budget, int] = {"quick": 4, "standard": 12, "thorough": 40}
"""Pictures a class; neighbours get twice as many."""

DRAWN = 0.5
"""A class that the base draws less often than this says nothing about what was kept."""


@dataclass(frozen=True, kw_only=True)
class Class:
    """One object or style.

    ratio: the edit's rate over the base's; None if the base has none. high: the same of the upper
    bound of the edit's rate (one-sided, 90 %).
    """

    name: str
    near: bool
    base: Interval
    edit: Interval
    ratio: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is left of what the base draws right.

    mean: the classes' mean rate on the edit over that on the base: each class counts the same; 0
    if the base draws none of them. lower: its one-sided bound at `level`. weak: classes that the
    base hardly draws, which are in the mean but cannot be the worst. nothing: the edit's share of
    pictures with nothing recognisable less the base's.
    """

    mean: float
    lower: float
    level: float
    classes: tuple[Class, ...]
    weak: tuple[str, ...]
    nothing: Interval
    pictures: int

    @property
    def worst(self) -> Class | None:
        """The class with the smallest ratio."""
        return _least(self.classes, self.weak)

    @property
    def least(self) -> float | None:
        """The smallest upper bound of a class: the worst of many is low by chance already."""
        highs = [row.high for row in self.classes if row.name not in self.weak]
        return min((high for high in highs if high is not None), default=None)

    @property
    def nearest(self) -> Class | None:
        """The neighbour with the smallest ratio."""
        return _least([row for row in self.classes if row.near], self.weak)

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        worst, nearest = self.worst, self.nearest
        return {
            "mean": self.mean,
            "lower": self.lower,
            "level": self.level,
            "worst": None if worst is None else {"name": worst.name, "ratio": worst.ratio},
            "nearest": None if nearest is None else {"name": nearest.name, "ratio": nearest.ratio},
            "classes": {row.name: asdict(row) for row in self.classes},
            "weak": list(self.weak),
            "nothing": asdict(self.nothing),
            "pictures": self.pictures,
        }


def kept_probe(
    model: TextToImage,
    concepts: Sequence[Concept],
    pictures: int = PICTURES["standard"],
    *,
    seed: int = 0,
    judge: Judge | None = None,
    near: int = 2,
) -> Probe:
    """Every object and style other than the erased, each its own group.

    A class's shots are a fixed list that a larger number only makes longer: template after
    template, every third one with a synonym in place of the name.

    model: the unedited one, which says what it knows. pictures: a class. near: times as many for
    the three nearest neighbours of each concept.

    Raises:
        UserError: nothing is left that the judge can tell. BadSetting: a number below 1.
    """
    rows = prompts.kept_concepts(model, concepts, labels_of(judge))
    if pictures < 1 or near < 1:
        raise BadSetting(f"expected pictures >= 1 and near >= 1, got {pictures} and {near}")
    if not rows:
        raise UserError(
            "expected something that has to stay, which the judge can tell, got nothing; give the "
            f"concept neighbours among the judge's labels: {labels_of(judge)}"
        )
    close = prompts.neighbours(model, concepts, rows)
    found: list[Shot] = []
    for row in rows:
        texts = prompts.naming(model, row, (row.name,), concepts)
        others = prompts.naming(model, row, row.synonyms, concepts) or texts
        for i in range(pictures * (near if row.name in close else 1)):
            text = others[i // 3 % len(others)] if i % 3 == 2 else texts[i % len(texts)]
            number = seed_of("kept", seed, row.name, i)
            found.append(Shot(prompt=text, seed=number, label=row.name, group=row.name))
    return Probe(shots=tuple(found))


def kept(
    edit: Look,
    base: Look,
    near: Sequence[str] = (),
    *,
    level: float = 0.95,
) -> Kept:
    """Compare two models on one probe, paired by prompt and seed.

    The bound's standard error is clustered by prompt, and has the floor that `difference_interval`
    has, since a sample in which nothing was lost does not show that nothing is. In simulations with
    120 to 500 pictures and a true mean of 90 to 98 %, a bound at 95 % is above it in 3 to 10 %.

    near: the names of the neighbours.

    Raises:
        UserError: the two looked at different pictures.
    """
    if edit.probe.digest != base.probe.digest or len(base) < 2:
        raise UserError(
            f"expected two looks at one probe of two or more shots, got {len(edit)} and "
            f"{len(base)} of {'one' if edit.probe.digest == base.probe.digest else 'two'}"
        )
    shots = base.probe.shots
    groups = base.probe.groups
    before, after = base.hits.double().numpy(), edit.hits.double().numpy()
    counts = {name: len(base.probe.rows(name)) for name in groups}
    # Each class weighs the same, however many pictures it has; the weights' mean is 1.
    weight = np.array([len(shots) / len(groups) / counts[shot.group] for shot in shots])
    clusters = {"prompt": [f"{shot.group}: {shot.prompt.key}" for shot in shots]}
    value = _ratio(float((weight * after).sum()), float((weight * before).sum()))
    lower = 0.0
    if value is not None:
        lower = _lower(weight * before, weight * after, clusters, value, level)
    rows = []
    for name in groups:
        part = base.probe.rows(name)
        k, n = [int(hits[part].sum()) for hits in (before, after)], len(part)
        one, other = (wilson(hits, n) for hits in k)
        ratio = _ratio(other.value, one.value)
        high = _ratio(wilson_upper(k[1], n, 0.9), one.value)
        rows.append(
            Class(name=name, near=name in near, base=one, edit=other, ratio=ratio, high=high)
        )
    blank = (edit.sheet.nothing.double() - base.sheet.nothing.double()).numpy()
    return Kept(
        mean=0.0 if value is None else value,
        lower=lower,
        level=level,
        classes=tuple(rows),
        weak=tuple(row.name for row in rows if row.base.value < DRAWN),
        nothing=_difference(blank, clusters, level),
        pictures=len(shots),
    )


def _lower(
    before: np.ndarray[Any, Any],
    after: np.ndarray[Any, Any],
    clusters: Mapping[str, Sequence[str]],
    value: float,
    level: float,
) -> float:
    """One-sided bound of a ratio of two means, linearised: Cochran 1977, section 6.4.

    With a correction for continuity of half a picture.
    """
    data = _observed((after - value * before) / before.mean(), clusters)
    quantile = float(stdtrit(data.fewest_levels - 1, level))
    half = 0.5 / float(before.sum())
    return max(0.0, value - half - quantile * difference_se(data))


def _difference(
    values: np.ndarray[Any, Any], clusters: Mapping[str, Sequence[str]], level: float
) -> Interval:
    return difference_interval(_observed(values, clusters), level)


def _observed(values: np.ndarray[Any, Any], clusters: Mapping[str, Sequence[str]]) -> Observations:
    if len(set(clusters["prompt"])) < 2:  # one prompt: its pictures are all there is
        clusters = {"picture": [str(i) for i in range(len(values))]}
    return Observations.of(values, clusters)


def _ratio(edit: float, base: float) -> float | None:
    return edit / base if base > 0 else None


def _least(rows: Sequence[Class], weak: Sequence[str]) -> Class | None:
    able = [row for row in rows if row.ratio is not None and row.name not in weak]
    return min(able, key=lambda row: row.ratio if row.ratio is not None else 1.0, default=None)
