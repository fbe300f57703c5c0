from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from excise.rng import numpy_generator
from excise.stats import Curve, best_of_curve, best_of_r, best_of_weights

pools = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1)), min_size=1, max_size=7
)


def enumerated(score: list[float], select: list[float], restarts: int) -> float:
    """The definition: the mean over every subset of the score of the best-looking."""
    total = 0.0
    for drawn in combinations(range(len(score)), restarts):
        best = max(select[i] for i in drawn)
        ties = [score[i] for i in drawn if select[i] == best]
        total += sum(ties) / len(ties)
    return total / comb(len(score), restarts)


@given(pools, st.data())
def test_it_is_the_mean_over_all_subsets(
    pool: list[tuple[float, float]], data: st.DataObject
) -> None:
    restarts = data.draw(st.integers(1, len(pool)))
    select, score = [list(x) for x in zip(*pool, strict=True)]
    expected = enumerated(score, select, restarts)
    assert float(best_of_r(score, select, restarts)) == pytest.approx(expected)


def test_weights_are_chances_and_favour_the_best_looking() -> None:
    for restarts in range(1, 13):
        weights = best_of_weights(12, restarts)
        assert weights.sum() == pytest.approx(1)
        assert (np.diff(weights) >= 0).all()
        assert weights[-1] == pytest.approx(restarts / 12)
    with pytest.raises(ValueError, match="restarts"):
        best_of_weights(3, 4)


def test_the_ends_of_the_curve() -> None:
    score, select = [0.1, 0.9, 0.4], [0.2, 0.1, 0.3]
    assert float(best_of_r(score, select, 1)) == pytest.approx(np.mean(score))
    assert float(best_of_r(score, select, 3)) == pytest.approx(0.4)  # the best-looking, not best
    table = np.array([score, score]).T  # (N, 2): scores of two prompts
    assert best_of_r(table, select, 2) == pytest.approx([float(best_of_r(score, select, 2))] * 2)


def test_luck_in_choosing_is_not_success() -> None:
    # Equal restarts with a true rate of 5 %: the habit reads about 15 %, this reads 5 %.
    rng = numpy_generator("luck")
    select = rng.binomial(20, 0.05, (400, 48)) / 20
    score = rng.binomial(20, 0.05, (400, 48)) / 20
    fair = [float(best_of_r(s, c, 16)) for s, c in zip(score, select, strict=True)]
    assert np.mean(fair) == pytest.approx(0.05, abs=0.005)
    assert select[:, :16].max(axis=1).mean() > 0.12


def curve_of(score: np.ndarray, select: np.ndarray, largest: int | None = None) -> Curve:
    """Of one prompt's restarts."""
    return best_of_curve(
        lambda rows, r: float(best_of_r(score[rows], select[rows], r)), len(score), largest
    )


def test_the_standard_error_is_the_spread_over_pools() -> None:
    rng = numpy_generator("pools")

    def pool() -> tuple[np.ndarray, np.ndarray]:
        rate = rng.beta(0.5, 2, 30)
        return rng.binomial(32, rate) / 32, rng.binomial(16, rate) / 16

    curves = [curve_of(*pool(), largest=6) for _ in range(80)]
    spread = np.std([c.rate for c in curves], axis=0)
    assert np.mean([c.se for c in curves], axis=0) == pytest.approx(spread, rel=0.2)


def test_a_curve_stops_at_a_third_of_the_pool() -> None:
    curve = curve_of(np.linspace(0, 1, 24), np.linspace(0, 1, 24))
    assert curve.restarts == tuple(range(1, 9))
    assert list(curve.rate) == sorted(curve.rate)
    with pytest.raises(ValueError, match="1 <= R < 2"):
        curve_of(np.array([0.1, 0.2]), np.array([0.1, 0.2]), largest=2)
    with pytest.raises(ValueError, match="one select value a restart"):
        best_of_r([0.1, 0.2], [0.1], 1)
