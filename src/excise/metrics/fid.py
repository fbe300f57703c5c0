"""How far the pictures as a whole have moved, as most papers print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from excise.metrics.base import BASE, Metric, Work
from excise.models.quiet import quietly
from excise.primitives.halves import described, groups_of, halves

CAVEAT = (
    "FID is too large with few pictures (Chong and Forsyth 2020, arXiv:1911.07023): compare it "
    "only with the base's own figure, which was found with as many."
)


@dataclass(frozen=True, kw_only=True)
class FID(Metric):
    """Fréchet distance to the base's pictures of all that is to stay.

    The features are the judge's, or those given, not Inception's: figures compare models within one
    evaluation, not with those of papers. It is biased upwards at small n, and most where n is not
    far above the number of features, so n is in the answer, and the base's own figure against
    itself on other seeds, with the same bias. `kid` has no such bias.

    pictures: a class, as in `kept`, so that the same are looked at.
    """

    name: ClassVar[str] = "fid"
    paper: ClassVar[str] = "Heusel et al. 2017, arXiv:1706.08500"

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By model: the distance; pictures: on each side of a comparison; features: how many."""
        if BASE not in work.arms:
            return {}
        looks = work.every(self.kept_probe(work))
        features, groups = described(looks, self.name), groups_of(looks[BASE])
        found: dict[str, Any] = {
            "pictures": len(halves(groups, 0)[0]),
            "features": features[BASE].shape[1],
            "caveat": CAVEAT,
        }
        for arm, rows in features.items():
            figure = fid(rows, features[BASE], groups, seed=work.seed)
            if figure is not None:
                found[arm] = figure
        return found


class _Same(torch.nn.Identity):
    """Features as they are."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.num_features = count


def fid(one: Tensor, other: Tensor, groups: Sequence[str], *, seed: int = 0) -> float | None:
    """|mu - mu'|^2 + tr(S + S' - 2 (S S')^(1/2)) of halves of the pictures; None under four rows.

    The mean of the two ways to hold a half of one against the other half of the other.

    one, other: features (n, d) at the same prompts and seeds, which are in these groups.
    """
    a, b = halves(groups, seed, 0)
    if len(a) < 2:
        return None
    with quietly():
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature=_Same(one.shape[1]))
    values = []
    for mine, yours in ((a, b), (b, a)):
        metric.reset()
        metric.update(one[mine].double(), real=False)
        metric.update(other[yours].double(), real=True)
        values.append(float(metric.compute()))
    return sum(values) / 2
