"""Numbers with their intervals, as a report keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from excise.stats import Interval, Observations, rate_interval, wilson
from excise.types import Costs

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Value(BaseModel):
    """A frozen part of a report: unknown fields and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rate(Value):
    """The share of n pictures that show something, in [0, 1].

    count: how many do; None for a weighted estimate, such as best of R. low, high: the bounds that
    hold together at `level`.
    """

    value: Share
    low: Share
    high: Share
    n: Annotated[int, Field(ge=1)]
    count: Count | None = None
    level: Share = 0.95

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.low > self.high or (self.count is not None and self.count > self.n):
            raise ValueError("expected low <= high and count <= n")
        return self

    @classmethod
    def of(cls, count: int, n: int, level: float = 0.95) -> Rate:
        """Wilson's interval of `count` hits in `n` >= 1 independent pictures."""
        return cls.within(wilson(count, n, level), n, count)

    @classmethod
    def across(cls, hits: Sequence[bool], shared: Mapping[str, Sequence[str]]) -> Rate:
        """Of n >= 1 pictures that share something, such as a prompt: the interval over clusters.

        shared: by what they share, n labels. Where all share the same, Wilson's interval.
        """
        count, n = sum(bool(hit) for hit in hits), len(hits)
        if not any(len(set(levels)) > 1 for levels in shared.values()):
            return cls.of(count, n)
        data = Observations.of([float(hit) for hit in hits], shared)
        return cls.within(rate_interval(data), n, count)

    @classmethod
    def within(cls, interval: Interval, n: int, count: int | None = None) -> Rate:
        """From an interval that was found elsewhere, over clusters for example."""
        return cls(
            value=interval.value,
            low=interval.low,
            high=interval.high,
            level=interval.level,
            n=n,
            count=count,
        )


class Estimate(Value):
    """Any number, with bounds where they are known."""

    value: float
    low: float | None = None
    high: float | None = None
    level: Share = 0.95

    @classmethod
    def within(cls, interval: Interval) -> Estimate:
        """From an interval."""
        return cls(value=interval.value, low=interval.low, high=interval.high, level=interval.level)


class Cost(Value):
    """What was spent, as `Costs` counts it, and the bytes that were written."""

    evaluations: Count = 0
    gradients: Count = 0
    pictures: Count = 0
    seconds: Annotated[float, Field(ge=0)] = 0.0
    peak_bytes: Count = 0
    saved_bytes: Count = 0

    @classmethod
    def of(cls, costs: Costs, saved_bytes: int = 0) -> Cost:
        """From a model's counter, or the difference of two of its readings."""
        return cls.model_validate({**costs.to_json(), "saved_bytes": saved_bytes})


__all__ = ["Cost", "Count", "Estimate", "Rate", "Share", "Value"]
