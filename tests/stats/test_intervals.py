from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from excise.stats import (
    singleton_share,
    survival_bound,
    wilson,
    wilson_lower,
    wilson_upper,
)

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [  # Newcombe (1998), Statistics in Medicine 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_values(k: int, n: int, low: float, high: float) -> None:
    interval = wilson(k, n)
    assert (interval.low, interval.high) == (
        pytest.approx(low, abs=5e-5),
        pytest.approx(high, abs=5e-5),
    )


@given(counts)
def test_wilson_is_ordered_symmetric_and_widens(kn: tuple[int, int]) -> None:
    k, n = kn
    interval, wider, mirror = wilson(k, n), wilson(k, n, 0.99), wilson(n - k, n)
    assert 0 <= wider.low <= interval.low <= interval.value <= interval.high <= wider.high <= 1
    assert interval.low == pytest.approx(1 - mirror.high)
    assert k / n in interval
    assert wilson_lower(k, n) >= interval.low
    assert wilson_upper(k, n) == pytest.approx(wilson(k, n, 0.9).high)
    assert (interval.low == 0) == (k == 0)
    assert (interval.high == 1) == (k == n)


@pytest.mark.parametrize("n", [20, 64, 200])
def test_wilson_covers_on_average_what_it_says(n: int) -> None:
    # Exactly, over the binomial; single rates swing around the level, their mean does not.
    rates = [i / 200 for i in range(1, 200)]
    covered = [sum(binom.pmf(k, n, p) for k in range(n + 1) if p in wilson(k, n)) for p in rates]
    assert sum(covered) / len(covered) == pytest.approx(0.95, abs=0.01)
    assert min(covered) > 0.83  # Wilson's known worst, at extreme rates


def test_no_pictures_tell_nothing() -> None:
    interval = wilson(0, 0)
    assert (interval.low, interval.high) == (0.0, 1.0)
    assert math.isnan(interval.value)


@pytest.mark.parametrize(("k", "n", "level"), [(-1, 3, 0.9), (4, 3, 0.9), (1, 3, 1.0), (1, 3, 0)])
def test_impossible_counts_are_refused(k: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        wilson(k, n, level)


@pytest.mark.parametrize(("restarts", "bound"), [(8, 0.31), (32, 0.09), (59, 0.05)])
def test_what_restarts_that_all_failed_exclude(restarts: int, bound: float) -> None:
    assert survival_bound(restarts) == pytest.approx(bound, abs=0.005)
    # At that rate all of them fail with a chance of exactly 5 %.
    assert (1 - survival_bound(restarts)) ** restarts == pytest.approx(0.05)
    with pytest.raises(ValueError, match="restarts"):
        survival_bound(0)


def test_singletons_foretell_new_kinds() -> None:
    assert singleton_share(["a", "b", "b", "c"]) == 0.5
    assert singleton_share("aaa") == 0.0
    with pytest.raises(ValueError, match="at least one"):
        singleton_share([])
