"""Intervals, bounds and tests: every figure with an interval comes from here.

Wilson for pictures inside one artefact; clustered intervals across restarts and prompts; one bound
that holds for all attacks at once; figures from several edits that share what they were measured
on; best of R restarts without bias; tests that may be looked at at any time; and the power that a
claim has. And one number for curves of kept against excess.
"""

from __future__ import annotations

from excise.stats.best_of import Curve, best_of_curve, best_of_r, best_of_weights
from excise.stats.clusters import (
    Observations,
    clustered_se,
    difference_interval,
    rate_interval,
)
from excise.stats.errors import StandardError, combined
from excise.stats.intervals import (
    Interval,
    singleton_share,
    survival_bound,
    wilson,
    wilson_lower,
    wilson_upper,
)
from excise.stats.pooled import Pooled, pooled, pooled_rate_upper, pooled_ratio
from excise.stats.power import power, sample_size
from excise.stats.rate import Rate
from excise.stats.sequential import Decision, EProcess, decide
from excise.stats.tradeoff import Tradeoff, area, envelope, tradeoff
from excise.stats.worst import Worst, cluster_bootstrap, worst_excess

__all__ = [
    "Curve",
    "Decision",
    "EProcess",
    "Interval",
    "Observations",
    "Pooled",
    "Rate",
    "StandardError",
    "Tradeoff",
    "Worst",
    "area",
    "best_of_curve",
    "best_of_r",
    "best_of_weights",
    "cluster_bootstrap",
    "clustered_se",
    "combined",
    "decide",
    "difference_interval",
    "envelope",
    "pooled",
    "pooled_rate_upper",
    "pooled_ratio",
    "power",
    "rate_interval",
    "sample_size",
    "singleton_share",
    "survival_bound",
    "tradeoff",
    "wilson",
    "wilson_lower",
    "wilson_upper",
    "worst_excess",
]
