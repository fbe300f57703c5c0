from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from excise.rng import numpy_generator
from excise.stats import EProcess, decide, wilson_upper

LIMITS = (0.02, 0.05, 0.3)


def ever_passes(test: EProcess, rate: float, runs: int, longest: int, seed: int) -> float:
    """The share of runs in which a look after every picture ever finds the claim established."""
    log_e = np.array(
        [[test.log_e(k, n) if k <= n else 0.0 for k in range(longest + 1)]
         for n in range(longest + 1)]
    )  # fmt: skip
    hits = (numpy_generator("runs", seed).random((runs, longest)) < rate).cumsum(axis=1)
    seen = log_e[np.arange(1, longest + 1), hits]  # (runs, longest)
    return float((seen >= math.log(1 / 0.05)).any(axis=1).mean())


@pytest.mark.parametrize("side", ["below", "above"])
@pytest.mark.parametrize("limit", LIMITS)
def test_a_false_claim_is_rarely_ever_established(limit: float, side: str) -> None:
    test = EProcess(limit=limit, side=side)  # type: ignore[arg-type]
    assert ever_passes(test, limit, 2000, 200, 0) <= 0.05 + 0.015
    worse = limit + 0.05 if side == "below" else limit - 0.015
    assert ever_passes(test, worse, 2000, 200, 1) <= 0.05


def test_peeking_with_ordinary_bounds_fails_far_more_often() -> None:
    # The rule that this replaces: stop as soon as the ordinary bound lies below the limit.
    hits = (numpy_generator("peek").random((2000, 300)) < 0.05).cumsum(axis=1)
    bounds = np.array([[wilson_upper(k, n) if k <= n else 1 for k in range(40)]
                       for n in range(1, 301)])  # fmt: skip
    peeked = bounds[np.arange(300), np.minimum(hits, 39)] < 0.05
    assert peeked.any(axis=1).mean() > 0.1


@pytest.mark.parametrize(("side", "rate"), [("below", 0.01), ("above", 0.5)])
def test_a_true_claim_is_usually_established(side: str, rate: float) -> None:
    test = EProcess(limit=0.1, side=side)  # type: ignore[arg-type]
    assert ever_passes(test, rate, 500, 200, 2) > 0.95


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from(LIMITS))
def test_the_e_value_is_the_averaged_likelihood_ratio(k: int, misses: int, limit: float) -> None:
    n = k + misses
    test = EProcess(limit=limit, prior=(1.5, 2.0))

    def prior(p: float) -> float:
        return p**0.5 * (1 - p)

    def ratio(p: float) -> float:
        return (p / limit) ** k * ((1 - p) / (1 - limit)) ** misses * prior(p)

    expected = quad(ratio, 0, limit)[0] / quad(prior, 0, limit)[0]
    assert test.e_value(k, n) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from(LIMITS))
def test_one_more_picture_is_a_fair_bet_at_the_limit(k: int, misses: int, limit: float) -> None:
    for side in ("below", "above"):
        test = EProcess(limit=limit, side=side)  # type: ignore[arg-type]
        n = k + misses
        after = limit * test.e_value(k + 1, n + 1) + (1 - limit) * test.e_value(k, n + 1)
        assert after == pytest.approx(test.e_value(k, n))


def test_the_two_sides_mirror_each_other() -> None:
    below, above = EProcess(limit=0.3), EProcess(limit=0.7, side="above")
    assert below.log_e(2, 20) == pytest.approx(above.log_e(18, 20))


def test_it_starts_at_one_and_stays_finite() -> None:
    test = EProcess(limit=0.05)
    assert test.e_value(0, 0) == pytest.approx(1)
    assert math.isfinite(test.log_e(100_000, 100_000))
    assert math.isfinite(test.e_value(0, 100_000))
    assert test.log_e(900, 1000) < -5


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        EProcess(limit=1.0)
    with pytest.raises(ValueError, match="prior"):
        EProcess(limit=0.5, prior=(0, 1))
    with pytest.raises(ValueError, match="0 <= k <= n"):
        EProcess(limit=0.5).log_e(3, 2)


def drawn(hits: Any) -> Callable[[int, int], list[bool]]:
    return lambda start, stop: hits[start:stop].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("rate", "side"), [(0.0, "below"), (0.02, "below"), (0.5, "above")])
def test_a_decision_stops_when_it_is_plain_and_is_seldom_wrong(rate: float, side: str) -> None:
    stopped, wrong = [], 0
    for run in range(300):
        hits = numpy_generator("decide", run).random(400) < rate
        found = decide(drawn(hits), limit=0.1, most=400)
        assert found.k == hits[: found.n].sum()
        stopped.append(found.n)
        wrong += found.side not in (side, None)
    assert wrong <= 300 * 0.05
    assert np.median(stopped) < 150


@pytest.mark.parametrize("rate", [0.09, 0.1, 0.11])
def test_near_the_limit_a_wrong_decision_stays_within_its_error(rate: float) -> None:
    wrong = 0
    for run in range(400):
        hits = numpy_generator("near", run).random(400) < rate
        found = decide(drawn(hits), limit=0.1, most=400)
        wrong += found.side == ("above" if rate < 0.1 else "below")
    assert wrong <= 400 * 0.05


def test_a_decision_takes_no_more_pictures_than_allowed() -> None:
    asked: list[tuple[int, int]] = []

    def draw(start: int, stop: int) -> list[bool]:
        asked.append((start, stop))
        return [i % 10 == 0 for i in range(start, stop)]  # just at the limit

    found = decide(draw, limit=0.1, most=50, block=20)
    assert (found.side, found.n, found.k) == (None, 50, 5)
    assert asked == [(0, 20), (20, 40), (40, 50)]
    with pytest.raises(ValueError, match="block"):
        decide(draw, limit=0.1, most=0)
    with pytest.raises(ValueError, match="20 hits"):
        decide(lambda a, b: [], limit=0.1, most=50)
