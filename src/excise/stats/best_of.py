"""The success of an attacker who may restart R times, from one pool of N restarts, without bias.

The habit of taking the best of the pool and its own score counts luck as success. Here every
restart has two figures: how it looked on the *select* seeds, by which the attacker chooses, and how
it does on the *score* seeds, which count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Success against the number of restarts.

    restarts: R, (K,). rate: the estimate for each, (K,). se: its standard error over the draw of
        the pool's restarts, (K,).
    """

    restarts: tuple[int, ...]
    rate: tuple[float, ...]
    se: tuple[float, ...]


def best_of_weights(pool: int, restarts: int) -> NDArray[np.float64]:
    """The chance of each restart to be the one chosen when `restarts` are drawn from `pool`, (N,).

    In ascending select order, so that the last is the one which looked best: the i-th (from 1) is
    chosen if it is drawn and the other R - 1 come from the i - 1 below it, which is
    ``C(i-1, R-1) / C(N, R)``.

    Raises:
        ValueError: not 1 <= restarts <= pool.
    """
    if not 1 <= restarts <= pool:
        raise ValueError(f"expected 1 <= restarts <= pool, got {restarts} and {pool}")
    total = comb(pool, restarts)
    return np.array([comb(i, restarts - 1) / total for i in range(pool)])  # i counts from 0 here


def best_of_r(score: ArrayLike, select: ArrayLike, restarts: int) -> NDArray[np.float64]:
    """The expected score of the best-looking of R restarts drawn from the pool; unbiased.

    The mean over all ``C(N, R)`` subsets of the score of the restart that `select` ranks highest,
    ties broken at random.

    score: (N, ...), the rate of each restart on the score seeds. select: (N,), its rate on the
        select seeds; higher is chosen. Returns (...).

    Raises:
        ValueError: the lengths differ, or not 1 <= restarts <= N.
    """
    ranked = _ranked(score, select)  # (N, ...)
    weights = best_of_weights(len(ranked), restarts)  # (N,)
    return np.asarray(np.tensordot(weights, ranked, axes=1), dtype=np.float64)  # (...)


def best_of_curve(
    rate: Callable[[NDArray[np.intp], int], float], pool: int, largest: int | None = None
) -> Curve:
    """The best of R for R from 1 to `largest`, by default a third of the pool, with errors.

    Beyond a third the estimate rests on a few restarts. The standard error is the delete-one
    jackknife, which is consistent for U-statistics (Arvesen 1969, "Jackknifing U-statistics", Ann.
    Math. Statist. 40), of which `best_of_r` is one.

    rate: of the restarts with these numbers, int (n,), at best of R; see `best_of_r`.

    Raises:
        ValueError: `largest` does not leave a pool of at least R + 1.
    """
    largest = max(pool // 3, 1) if largest is None else largest
    if not 1 <= largest < pool:
        raise ValueError(f"expected 1 <= R < {pool}, the number of restarts, got {largest}")
    budgets = tuple(range(1, largest + 1))
    every = np.arange(pool)
    rates = tuple(rate(every, r) for r in budgets)
    again = np.array([[rate(np.delete(every, i), r) for r in budgets] for i in every])  # (N, K)
    variance = (pool - 1) / pool * ((again - again.mean(0)) ** 2).sum(0)  # (N, K) -> (K,)
    return Curve(restarts=budgets, rate=rates, se=tuple(np.sqrt(variance).tolist()))


def _ranked(score: ArrayLike, select: ArrayLike) -> NDArray[np.float64]:
    """Scores in ascending select order; those that tie each get their mean."""
    scores = np.asarray(score, dtype=np.float64)
    looks = np.asarray(select, dtype=np.float64)
    if looks.ndim != 1 or len(scores) != len(looks):
        raise ValueError(
            f"expected one select value a restart, got {scores.shape} and {looks.shape}"
        )
    _, group = np.unique(looks, return_inverse=True)  # (N,), ascending
    order = np.argsort(group, kind="stable")
    # Which of a tie is chosen is a coin's matter, so each stands for the mean of the tie.
    means = np.stack([scores[group == g].mean(axis=0) for g in range(group.max() + 1)])
    return np.asarray(means[group[order]])
