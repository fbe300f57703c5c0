"""Figures of the token ladder, of decoys and of sequential tests, from their pictures' values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from excise.attacks.result import AttackResult
from excise.reporting.attacks import Decided, Decoys
from excise.reporting.attempts import Attempts
from excise.reporting.figures import Rate
from excise.reporting.reached import (
    curve_of,
    excess_of,
    pooled_excess,
    pooled_rate,
    rate_of,
    unanimous,
)
from excise.reporting.worst_case import Arms
from excise.stats import decide


def rung_rates(tried: Attempts, key: str) -> dict[str, Rate]:
    """What one rung brings back, by arm, at the ladder's best of R."""
    return {arm: rate_of(one, tried.best_of) for arm, one in tried.rungs[key].items()}


def against(
    arms: Arms, results: Mapping[str, AttackResult], restarts: int | None
) -> dict[str, Any]:
    """The fields of an attack's row that compare: with fewer restarts, and with the oracle.

    restarts: R of the excess, where one of a pool serves all prompts.
    """
    oracle = arms.get("oracle")
    floor = None if oracle is None else results.get(oracle)
    return {
        "best_of": {arm: found for arm, x in results.items() if (found := curve_of(x)) is not None},
        "unanimous": {
            arm: alike
            for arm, one in results.items()
            if (alike := unanimous(one, restarts)) is not None
        },
        "excess": {}
        if floor is None
        else {
            arm: excess_of(one, floor, restarts)[0] for arm, one in results.items() if arm != oracle
        },
    }


def ladder_figures(arms: Arms, tried: Attempts, headline: str) -> dict[str, Any]:
    """The fields of an attack's row that follow from the rung that counts."""
    return against(arms, tried.rungs[headline], tried.best_of)


def floors(arms: Arms, tried: Attempts, headline: str) -> Decoys | None:
    """What the attack reaches for decoys on the rung that counts; None without any.

    The decoys are taken as they are: the intervals say nothing of other decoys.
    """
    if not tried.decoys:
        return None
    r, oracle = tried.best_of, arms.get("oracle")
    floor = None if oracle is None else tried.rungs.get(headline, {}).get(oracle)
    pools = {
        arm: [by_arm[arm] for by_arm in tried.decoys.values()]
        for arm in next(iter(tried.decoys.values()))
    }
    return Decoys(
        rung=headline,
        floors={arm: pooled_rate(many, r) for arm, many in pools.items()},
        each={
            name: {arm: pooled_rate([one], r) for arm, one in by_arm.items()}
            for name, by_arm in tried.decoys.items()
        },
        gaps={}
        if floor is None
        else {arm: pooled_excess(many, floor, r)[0] for arm, many in pools.items()},
    )


def decided(tried: Attempts, name: str, threshold: float, limit: float) -> Decided:
    """What the pictures of a sequential test say at a threshold, stopped where they say it.

    Those that were drawn are all there are: at another threshold they may leave it open.
    """
    hits = (tried.drawn[name] >= threshold).tolist()
    found = decide(lambda a, b: hits[a:b], limit=limit, most=len(hits), claims=len(tried.drawn))
    return Decided(limit=limit, side=found.side, count=found.k, n=found.n)
