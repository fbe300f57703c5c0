"""Do the pictures still differ from one another? A collapsed model draws one for all prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.metrics.base import BASE, EDIT, Metric, Work
from excise.metrics.replacement import histogram
from excise.primitives.probe import Look

SIDE = 16  # pixels to which pictures are brought: what is compared is what they show, not texture


@dataclass(frozen=True, kw_only=True)
class Diversity(Metric):
    """Mean pairwise distances of the pictures that `kept` draws.

    pictures: a class, as in `kept`, so that the same are looked at.
    """

    name: ClassVar[str] = "diversity"

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By model: distance over all pairs, and within a class; kinds of things drawn."""
        found: dict[str, Any] = {
            arm: spread(look) for arm, look in work.every(self.kept_probe(work)).items()
        }
        if BASE in work.arms:
            of = found[BASE]["distance"]
            found["ratio"] = found[EDIT]["distance"] / of if of else None
        return found


def spread(look: Look) -> dict[str, float | None]:
    """How different a look's pictures are.

    distance: the mean absolute difference of two pictures, in [0, 1], over all pairs. within: over
    pairs of one class. kinds: the effective number of things that the judge sees; None without one.
    """
    able = list(within(look).values())
    return {
        "distance": _mean_distance(_small(look)),
        "within": sum(able) / len(able) if able else None,
        "kinds": histogram(look.sheet.drawn, "")["kinds"] if look.sheet.things else None,
    }


def within(look: Look) -> dict[str, float]:
    """By class, the mean distance in [0, 1] of two of its pictures; none for a single picture."""
    flat = _small(look)
    found = {group: _mean_distance(flat[look.probe.rows(group)]) for group in look.probe.groups}
    return {group: value for group, value in found.items() if value is not None}


def _small(look: Look) -> Tensor:
    """The pictures at `SIDE` pixels, floats (n, 3 * SIDE * SIDE) in [0, 1]."""
    return F.interpolate(look.thumbs.float() / 255, size=(SIDE, SIDE), mode="area").flatten(1)


def _mean_distance(flat: Tensor) -> float | None:
    """Over all pairs of (n, d); None for fewer than two."""
    n = len(flat)
    if n < 2:
        return None
    return float(torch.pdist(flat, p=1).mean()) / flat.shape[1]
