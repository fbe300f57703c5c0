"""A count out of a number: what every rate in a record is."""

from __future__ import annotations

from dataclasses import dataclass

from excise.stats.intervals import Interval, wilson, wilson_lower, wilson_upper


@dataclass(frozen=True)
class Rate:
    """`k` hits in `n` independent pictures of one artefact."""

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.k <= self.n or self.n < 1:
            raise ValueError(f"expected 0 <= k <= n and n >= 1, got {self.k} and {self.n}")

    @property
    def rate(self) -> float:
        """The share k / n."""
        return self.k / self.n

    def low(self, level: float = 0.95) -> float:
        """The one-sided lower bound at `level` (Wilson)."""
        return wilson_lower(self.k, self.n, level)

    def high(self, level: float = 0.95) -> float:
        """The one-sided upper bound at `level` (Wilson)."""
        return wilson_upper(self.k, self.n, level)

    def interval(self, level: float = 0.95) -> Interval:
        """Wilson's two-sided interval."""
        return wilson(self.k, self.n, level)

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.k + other.k, self.n + other.n)
