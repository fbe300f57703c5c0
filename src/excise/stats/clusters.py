"""Rates and paired differences whose pictures are not independent.

Pictures share a restart, a prompt, an edit: factors that cross. The standard error adds up the
variation along each factor and takes away what was counted twice (Cameron, Gelbach and Miller 2011,
"Robust inference with multiway clustering", JBES 29); Student's quantile with as many degrees of
freedom as the scarcest factor allows makes up for few clusters. In simulation, with 3 to 20 levels
a factor, intervals at level 95 % cover 94 to 99 %, where the percentiles of a crossed cluster
bootstrap fall to 85 % and a Satterthwaite number of degrees of freedom to 92 %. Of low rates the
upper end is the weaker one: it is missed in up to 3.6 % rather than 2.5 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from excise.stats.intervals import Interval, score_bounds


@dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """One value a picture, and for each factor the level that it belongs to.

    values: (n,): hits 0 or 1; or paired differences in [-1, 1] of two models' hits on one prompt
        and seed.
    factors: by name, (n,) labels. Levels of the same name that occur in several observations are
        the same level: label a restart by its attack too, unless the attacks share it.

    Raises:
        ValueError: no values, lengths that differ, or no factor with two levels.
    """

    values: NDArray[np.float64]
    factors: Mapping[str, NDArray[np.str_]]

    def __post_init__(self) -> None:
        """Check the shapes."""
        if self.values.ndim != 1 or not len(self.values):
            raise ValueError(f"expected values of shape (n,) with n >= 1, got {self.values.shape}")
        for name, labels in self.factors.items():
            if labels.shape != self.values.shape:
                raise ValueError(
                    f"expected a level of {name} for each of {len(self.values)} values, "
                    f"got {labels.shape}"
                )
        if self.fewest_levels < 2:
            raise ValueError(
                f"expected a factor with two levels or more, got {dict(self._counts())}; with one "
                "restart and one prompt use wilson"
            )

    @classmethod
    def of(cls, values: ArrayLike, factors: Mapping[str, Sequence[str | int]]) -> Observations:
        """From values (n,) and labels (n,) of each factor."""
        named = {k: np.asarray([str(x) for x in v], dtype=np.str_) for k, v in factors.items()}
        return cls(values=np.asarray(values, dtype=np.float64), factors=named)

    @classmethod
    def crossed(cls, values: ArrayLike, names: Sequence[str]) -> Observations:
        """From an array whose leading axes are the factors `names`; further axes are pictures.

        As in ``crossed(hits, ("restart", "prompt"))`` with hits (R, P, S).
        """
        array = np.asarray(values, dtype=np.float64)
        if array.ndim < len(names):
            raise ValueError(f"expected an axis for each of {list(names)}, got {array.shape}")
        index = np.indices(array.shape)  # (axes, *shape)
        return cls.of(
            array.ravel(), {name: index[i].ravel().tolist() for i, name in enumerate(names)}
        )

    @property
    def mean(self) -> float:
        """The plain mean: every picture counts the same."""
        return float(self.values.mean())

    @property
    def fewest_levels(self) -> int:
        """The number of levels of the scarcest factor, factors with a single level left out."""
        return min((count for _, count in self._counts() if count > 1), default=0)

    def codes(self, name: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
        """The levels of a factor as numbers (n,), and what they stand for."""
        levels, codes = np.unique(self.factors[name], return_inverse=True)
        return codes, tuple(levels.tolist())

    def varying(self) -> tuple[str, ...]:
        """The factors with two levels or more; one level tells nothing about its variation."""
        return tuple(name for name, count in self._counts() if count > 1)

    def _counts(self) -> list[tuple[str, int]]:
        return [(name, len(np.unique(labels))) for name, labels in self.factors.items()]


def clustered_se(data: Observations) -> float:
    """The standard error of the mean under multiway clustering; never below one factor's own.

    A lone factor, and each set of factors that cross, adds ``(-1)^(size+1) G/(G-1) sum_g s_g^2 /
    n^2`` with s_g the sum of deviations in cell g and G the number of cells. The sum may fall
    below what one factor alone would give; the largest of those is taken then.
    """
    with np.errstate(invalid="ignore"):  # what is not finite says so in the answer
        deviation = data.values - data.values.mean()  # (n,)
    names = data.varying()
    alone: list[float] = []
    total = 0.0
    for size in range(1, len(names) + 1):
        for group in combinations(names, size):
            cell = _cells(data, group)  # (n,)
            sums = np.bincount(cell, weights=deviation)  # (G,)
            variance = len(sums) / (len(sums) - 1) * float(sums @ sums) / len(deviation) ** 2
            total += variance if size % 2 else -variance
            if size == 1:
                alone.append(variance)
    return math.sqrt(max(total, *alone))


def rate_interval(data: Observations, level: float = 0.95) -> Interval:
    """The interval of a rate across clusters.

    Wilson's interval with Student's quantile and the effective number of pictures, n over the
    design effect, after Korn and Graubard (1998), "Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data", Survey Methodology 24. If every
    picture came out the same, clusters cannot be told apart from chance and n itself is taken; for
    a claim about the next restart use `survival_bound`.

    data: hits 0 or 1.
    """
    rate, n = data.mean, len(data.values)
    single = rate * (1 - rate) / n
    effect = max(clustered_se(data) ** 2 / single, 1.0) if single > 0 else 1.0
    quantile = float(stdtrit(data.fewest_levels - 1, 0.5 + level / 2))
    low, high = score_bounds(rate * n / effect, n / effect, quantile)
    # The score formula is exact at the ends only for exact counts.
    return Interval(
        value=rate, low=0.0 if rate == 0 else low, high=1.0 if rate == 1 else high, level=level
    )


def difference_interval(data: Observations, level: float = 0.95) -> Interval:
    """The interval of a mean paired difference across clusters, with Student's quantile.

    data: differences in [-1, 1], such as hits of the edit less hits of the oracle on the same
        prompt and seed.
    """
    half = float(stdtrit(data.fewest_levels - 1, 0.5 + level / 2)) * difference_se(data)
    mean = data.mean
    return Interval(value=mean, low=max(-1.0, mean - half), high=min(1.0, mean + half), level=level)


def difference_se(data: Observations) -> float:
    """The clustered standard error of a mean paired difference, with a floor for rare events.

    When both models did the same on every picture the plain standard error is zero, which is no
    evidence of no difference. The floor adds one half to each of the four outcomes of a pair:
    Agresti and Min (2005), "Simple improved confidence intervals for comparing matched
    proportions", Statistics in Medicine 24.
    """
    return max(clustered_se(data), floor_se(data))


def floor_se(data: Observations) -> float:
    """The standard error of a paired difference of independent pairs after Agresti and Min."""
    d, n = data.values, len(data.values) + 2
    return math.sqrt(max(float(d @ d) + 1 - float(d.sum()) ** 2 / n, 0.0)) / n


def _cells(data: Observations, names: Sequence[str]) -> NDArray[np.intp]:
    """The cell of each value in the table that some factors span, numbered without gaps, (n,)."""
    columns = np.stack([data.codes(name)[0] for name in names])  # (factors, n)
    return np.asarray(np.unique(columns, axis=1, return_inverse=True)[1]).reshape(-1)
