"""How far the pictures as a whole have moved, without the bias that FID has at small n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar

import torch
from torch import Tensor

from excise.errors import BadSetting
from excise.metrics.base import BASE, Metric, Work, rate_json
from excise.models.quiet import quietly
from excise.primitives.halves import described, groups_of, halves
from excise.rng import isolated
from excise.stats import Interval

SPLITS = 50


@dataclass(frozen=True, kw_only=True)
class KID(Metric):
    """Kernel Inception Distance to the base's pictures of all that is to stay; 0: no difference.

    The features are the judge's, or those given, not Inception's: figures compare models within one
    evaluation, not with those of papers. The base's own figure, against itself on other seeds, is
    what chance makes. The estimate has no bias, so it may fall below 0.

    pictures: a class, as in `kept`, so that the same are looked at. splits: into halves, over which
    the mean and the standard deviation are taken. level: of the intervals.
    """

    name: ClassVar[str] = "kid"
    paper: ClassVar[str] = "Bińkowski et al. 2018, arXiv:1801.01401"

    splits: int = SPLITS
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.splits < 2:
            raise BadSetting(f"{self.name}: expected splits >= 2, got {self.splits}")

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By model: the distance with its interval; pictures: on each side of a comparison."""
        if BASE not in work.arms:
            return {}
        looks = work.every(self.kept_probe(work))
        features, groups = described(looks, self.name), groups_of(looks[BASE])
        found: dict[str, Any] = {"pictures": len(halves(groups, 0)[0]), "splits": self.splits}
        for arm, rows in features.items():
            figure = kid(
                rows, features[BASE], groups, splits=self.splits, seed=work.seed, level=self.level
            )
            if figure is not None:
                found[arm] = rate_json(figure)
        return found


def kid(
    one: Tensor,
    other: Tensor,
    groups: Sequence[str],
    *,
    splits: int = SPLITS,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | None:
    """The squared maximum mean discrepancy under the kernel (x.y / d + 1)^3; None under four rows.

    The mean over splits into halves. Each estimate sees half of the pictures, so the standard
    deviation over splits is the standard error of the mean as the delete-half jackknife has it;
    where pictures of one seed are alike on both sides, it is on the large side.

    one, other: features (n, d) at the same prompts and seeds, which are in these groups.
    """
    m = len(halves(groups, 0)[0])
    if m < 2:
        return None
    with quietly():
        from torchmetrics.image.kid import KernelInceptionDistance

        metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=m)
    values = []
    for i in range(splits):
        a, b = halves(groups, seed, i)
        metric.reset()
        metric.update(one[a].double(), real=False)
        metric.update(other[b].double(), real=True)
        with isolated(0):  # it shuffles what it takes whole
            values.append(metric.compute()[0])
    found = torch.stack(values)
    value, half = float(found.mean()), NormalDist().inv_cdf(0.5 + level / 2) * float(found.std())
    return Interval(value=value, low=value - half, high=value + half, level=level)
