"""How far pictures move at equal prompts and seeds, also where the label stays right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor

from excise.metrics.base import BASE, Metric, Work, mean_interval, rate_json
from excise.primitives.panel import labels_of
from excise.primitives.probe import Look, Probe, plain_probe, shots
from excise.primitives.prompts import kept_concepts, neighbours
from excise.types import Prompt

UNCONDITIONAL = 32  # pictures of the empty prompt


@dataclass(frozen=True, kw_only=True)
class Drift(Metric):
    """The mean absolute difference of pixels, in [0, 1], from the base's pictures.

    Groups: what names the concept (which should move), its neighbours, other objects, other
    styles, and the empty prompt.

    pictures: a class, as in `kept`, so that the same are looked at. level: of the intervals, which
    are across prompts.
    """

    name: ClassVar[str] = "drift"

    level: float = 0.95

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By model other than the base, by group: the mean and its interval."""
        if BASE not in work.arms:
            return {}
        labels = labels_of(work.judge)
        rows = kept_concepts(work.plain, work.concepts, labels)
        near = neighbours(work.plain, work.concepts, rows)
        kinds = {row.name: f"other {row.kind}s" for row in rows}
        of = {**kinds, **dict.fromkeys(near, "neighbours")}
        parts: list[tuple[Probe, list[str]]] = []
        kept = self.kept_probe(work)
        parts.append((kept, [of[shot.group] for shot in kept.shots]))
        for concept in work.concepts:
            plain = plain_probe(work.plain, concept, 1, seed=work.seed, judge=work.judge)
            parts.append((plain, ["concept"] * len(plain)))
        label = kept.shots[0].label  # of no consequence: nobody is asked
        empty = shots((Prompt(""),), label, "empty", UNCONDITIONAL, seed=work.seed)
        parts.append((Probe(shots=empty), ["empty prompt"] * UNCONDITIONAL))
        return {arm: self._by_group(work, arm, parts) for arm in work.arms if arm != BASE}

    def _by_group(
        self, work: Work, arm: str, parts: list[tuple[Probe, list[str]]]
    ) -> dict[str, Any]:
        values: dict[str, list[float]] = {}
        prompts: dict[str, list[str]] = {}
        for probe, groups in parts:
            moved = distances(work.look(arm, probe).thumbs, work.look(BASE, probe).thumbs)
            for shot, group, value in zip(probe.shots, groups, moved.tolist(), strict=True):
                values.setdefault(group, []).append(value)
                prompts.setdefault(group, []).append(shot.prompt.key)
        return {
            group: {
                **rate_json(mean_interval(values[group], prompts[group], self.level)),
                "pictures": len(values[group]),
            }
            for group in values
        }


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute differences (n,), in [0, 1], of pictures (n, 3, h, w) as uint8."""
    return (one.float() - other.float()).abs().mean(dim=(1, 2, 3)) / 255


def between_seeds(look: Look) -> float | None:
    """The mean distance of two pictures of one class on different seeds; None without a pair.

    What drift is to be held against: a model with as much of it draws another picture.
    """
    groups = [look.probe.rows(group) for group in look.probe.groups]
    pairs = [(a, b) for rows in groups for a, b in pairwise(rows)]
    if not pairs:
        return None
    first, second = (list(side) for side in zip(*pairs, strict=True))
    return float(distances(look.thumbs[first], look.thumbs[second]).mean())
