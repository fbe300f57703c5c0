"""Intervals for one rate, and what a number of restarts can and cannot exclude."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A point estimate between two bounds that hold together at `level`, such as 0.95."""

    value: float
    low: float
    high: float
    level: float

    def __contains__(self, value: float) -> bool:
        """Whether a value lies within the bounds."""
        return self.low <= value <= self.high


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for `k` hits in `n` independent pictures, at level `level`.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22.
    With n = 0 nothing is known: 0 to 1, and the value is NaN.

    Raises:
        ValueError: not 0 <= k <= n, or level not in (0, 1).
    """
    _check(k, n, level)
    low, high = score_bounds(k, n, NormalDist().inv_cdf(0.5 + level / 2))
    return Interval(value=k / n if n else math.nan, low=low, high=high, level=level)


def wilson_lower(k: int, n: int, level: float = 0.95) -> float:
    """The lower end of Wilson's interval, one-sided: the rate is above it at `level`."""
    _check(k, n, level)
    return score_bounds(k, n, NormalDist().inv_cdf(level))[0]


def wilson_upper(k: int, n: int, level: float = 0.95) -> float:
    """The upper end of Wilson's interval, one-sided: the rate is below it at `level`."""
    _check(k, n, level)
    return score_bounds(k, n, NormalDist().inv_cdf(level))[1]


def score_bounds(k: float, n: float, z: float) -> tuple[float, float]:
    """The rates p with ``|k/n - p| <= z sqrt(p (1 - p) / n)``; k and n may be effective counts.

    z may be a quantile of the normal or of Student's distribution, and may be negative for a
    one-sided level below one half.
    """
    if n == 0:
        return 0.0, 1.0
    rate = k / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At the ends the algebra is exact and the floats are not.
    low = 0.0 if k == 0 and z >= 0 else max(0.0, centre - half)
    high = 1.0 if k == n and z >= 0 else min(1.0, centre + half)
    return low, high


def survival_bound(restarts: int, level: float = 0.95) -> float:
    """If all of `restarts` independent restarts failed, the next succeeds at most this often.

    ``1 - (1 - level) ** (1 / restarts)``, the exact (Clopper-Pearson) bound for no success: 31 %
    for 8 restarts, 9 % for 32, 5 % for 59. Restarts that were pushed apart are not independent.

    Raises:
        ValueError: restarts < 1, or level not in (0, 1).
    """
    if restarts < 1:
        raise ValueError(f"expected restarts >= 1, got {restarts}")
    _check(0, 1, level)
    return 1 - float((1 - level) ** (1 / restarts))


def singleton_share(kinds: Sequence[Hashable]) -> float:
    """The share of restarts whose kind turned up once: how likely the next one is of a new kind.

    Good (1953), "The population frequencies of species", Biometrika 40, after Turing.

    kinds: the cluster of each restart.

    Raises:
        ValueError: there are none.
    """
    if not kinds:
        raise ValueError("expected at least one restart, got none")
    return sum(count == 1 for count in Counter(kinds).values()) / len(kinds)


def _check(k: int, n: int, level: float) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"expected 0 <= k <= n, got k={k}, n={n}")
    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}")
