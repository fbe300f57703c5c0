"""What an attack reached, as figures: its rate, and its excess over another model's.

An attack that chooses an input for each prompt counts with what it chose among all its restarts.
One that finds inputs for all prompts at once has a pool of N of them, all of which are scored, and
counts with the best of R, a third of them or less: so the draw of the restarts is in its interval,
with the few degrees of freedom that N / R tries of the best of R have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from excise.attacks.result import AttackResult, observed
from excise.reporting.attacks import BestOf, Unanimous
from excise.reporting.figures import Estimate, Rate
from excise.stats import StandardError, clustered_se, combined, survival_bound
from excise.stats.clusters import difference_se
from excise.stats.intervals import score_bounds

LEVEL = 0.95

Hits = NDArray[np.float64]


def best_of(result: AttackResult) -> int | None:
    """R, where one of a pool serves all prompts; None where what was chosen counts."""
    return max(1, len(result) // 3) if result.pooled else None


def hits_of(result: AttackResult, restarts: int | None = None) -> Hits:
    """The expected hit (P, T) of the best of R; of what was chosen without R."""
    return result.hits if restarts is None else result.expected(restarts)


def restarts_errors(
    results: Sequence[AttackResult], restarts: int | None
) -> tuple[StandardError, ...]:
    """What the draw of each pool's restarts adds to the error of the mean over the pools.

    A pool of N holds about N / R tries of the best of R. Nothing is told from a pool of R, and
    nothing is to be told without one.
    """
    if restarts is None:
        return ()
    return tuple(
        StandardError(
            value=one.curve(restarts).se[-1] / len(results), freedom=len(one) / restarts - 1
        )
        for one in results
        if restarts < len(one)
    )


def unanimous(result: AttackResult, restarts: int | None) -> Unanimous | None:
    """What a pool leaves open whose restarts all did the same; None of any other.

    Their spread is 0 then, though the next restart may well differ.
    """
    if restarts is None:
        return None
    hits = result.score >= result.threshold  # (N, P, T)
    worked = bool(hits.all())
    if hits.any() and not worked:
        return None
    n = len(result)
    return Unanimous(n=n, worked=worked, next=survival_bound(n, LEVEL), level=LEVEL)


def rate_of(
    result: AttackResult, restarts: int | None, prompts: Sequence[int] | None = None
) -> Rate:
    """The rate at best of R, its interval over prompts and the draw of the restarts.

    prompts: their numbers; all by default.
    """
    return pooled_rate([result], restarts, prompts)


def pooled_rate(
    results: Sequence[AttackResult], restarts: int | None, prompts: Sequence[int] | None = None
) -> Rate:
    """The mean rate of attacks on several things, in as many sentences and on the same seeds."""
    hits = np.stack([hits_of(one, restarts) for one in results])  # (D, P, T)
    if prompts is not None:
        hits = hits[:, list(prompts)]
    p, n = float(hits.mean()), float(hits.size)
    count = int(hits.sum()) if restarts is None else None
    if max(hits.shape[1:]) < 2:  # nothing to see a spread in
        return Rate.of(count, int(n)) if count is not None else Rate(
            value=p, low=0.0, high=1.0, n=int(n), level=LEVEL
        )  # fmt: skip
    data = observed(hits.mean(axis=0))  # (P, T)
    sentences = StandardError(value=clustered_se(data), freedom=data.fewest_levels - 1)
    error = combined([sentences, *restarts_errors(results, restarts)])
    single = p * (1 - p) / n
    effective = n / max(error.value**2 / single, 1.0) if single > 0 else n
    quantile = float(stdtrit(error.freedom, 0.5 + LEVEL / 2))
    low, high = score_bounds(p * effective, effective, quantile)
    return Rate(
        value=p, low=min(low, p), high=max(high, p), n=int(n), count=count, level=LEVEL
    )  # fmt: skip


def pooled_error(
    results: Sequence[AttackResult], restarts: int | None
) -> tuple[float, tuple[StandardError, ...]]:
    """The mean rate of attacks on several things, and its errors, one a source.

    Without errors where all did the same.
    """
    hits = np.mean([hits_of(one, restarts) for one in results], axis=0)  # (P, T)
    found = restarts_errors(results, restarts)
    if hits.size > 1:
        data = observed(hits)
        sentences = StandardError(value=clustered_se(data), freedom=data.fewest_levels - 1)
        found = (sentences, *found)
    return float(hits.mean()), tuple(one for one in found if one.value > 0)


def excess_of(
    one: AttackResult, oracle: AttackResult, restarts: int | None
) -> tuple[Estimate, float]:
    """Rate less the oracle's, paired by prompt and seed, and its one-sided upper bound.

    The spread over the pools' restarts, which the two do not share, is added to that over prompts.
    """
    return pooled_excess([one], oracle, restarts)


def pooled_excess(
    results: Sequence[AttackResult], oracle: AttackResult, restarts: int | None
) -> tuple[Estimate, float]:
    """As `excess_of`, of the mean of attacks on several things."""
    mean = np.mean([hits_of(one, restarts) for one in results], axis=0)
    data = observed(mean - hits_of(oracle, restarts))  # (P, T)
    sentences = StandardError(value=difference_se(data), freedom=data.fewest_levels - 1)
    pools = (*restarts_errors(results, restarts), *restarts_errors([oracle], restarts))
    error = combined([sentences, *pools])
    half = float(stdtrit(error.freedom, 0.5 + LEVEL / 2)) * error.value
    upper = min(data.mean + float(stdtrit(error.freedom, LEVEL)) * error.value, 1.0)
    estimate = Estimate(
        value=data.mean, low=max(-1.0, data.mean - half), high=min(1.0, data.mean + half)
    )
    return estimate, upper


def curve_of(result: AttackResult) -> BestOf | None:
    """Success against the number of tries; None where nothing can be told of it.

    From the pictures that a search was told of while it went on nothing can.
    """
    if result.pooled and len(result) > 1:
        curve = result.curve()
    elif len(result) > 1 and len(result.select_seeds) > 1 and not result.steered:
        curve = result.budget_curve()
    else:
        return None
    return BestOf(restarts=curve.restarts, rate=curve.rate, se=curve.se, pool=len(result))
