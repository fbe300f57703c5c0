"""When a set of inputs counts as extinct, whatever its size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from strengths import FLOOR, LOOKS, SIZES, alive, extinct_from, predicted

from excise.rng import numpy_generator
from excise.stats import Rate

RUNS = 2000


def hits(size: int, rate: float) -> list[list[int]]:
    rng = numpy_generator("hits", size, round(1000 * rate))
    found: list[list[int]] = rng.binomial(LOOKS, rate, (RUNS, size)).tolist()
    return found


@pytest.mark.parametrize("size", SIZES)
def test_members_at_the_floor_look_alive_no_more_often_in_a_large_set(size: int) -> None:
    assert np.mean([alive(row, LOOKS) for row in hits(size, FLOOR)]) <= 0.1


def test_each_member_tested_at_90_percent_would_keep_large_sets_alive() -> None:
    # What the correction is for: with the number of members what is extinct would come to life.
    rates = {
        size: np.mean([any(Rate(k, 8).low(0.9) > FLOOR for k in row) for row in _eight(size)])
        for size in (1, 32)
    }
    assert rates[1] < 0.25
    assert rates[32] > 0.95


def _eight(size: int) -> list[list[int]]:
    found: list[list[int]] = numpy_generator(size).binomial(8, FLOOR, (RUNS, size)).tolist()
    return found


@pytest.mark.parametrize(("size", "rate", "least"), [(1, 0.3, 0.9), (8, 0.3, 0.75), (32, 0.4, 0.8)])
def test_there_are_enough_looks_to_see_one_that_lives(size: int, rate: float, least: float) -> None:
    others = [row[1:] for row in hits(size, 0.0)]
    (living,) = np.array(hits(1, rate)).T.tolist()
    seen = [alive([k, *row], LOOKS) for k, row in zip(living, others, strict=True)]
    assert np.mean(seen) >= least


def rows(table: dict[float, list[int]]) -> list[dict[str, Any]]:
    return [{"alpha": alpha, "hits": found, "looks": LOOKS} for alpha, found in table.items()]


def test_it_is_the_smallest_strength_from_which_on_none_lives() -> None:
    found = rows({1.0: [30, 0], 2.0: [0, 30], 3.0: [0, 1]})
    assert extinct_from(found, [0]) == 2.0
    assert extinct_from(found, [1]) == 3.0
    assert extinct_from(found, [0, 1]) == 3.0
    assert extinct_from(rows({1.0: [0, 0], 2.0: [0, 30]}), [0, 1]) == float("inf")


def test_a_prediction_does_not_rise_with_the_size_of_a_set_that_is_extinct() -> None:
    rng = numpy_generator("extinct")
    sizes: dict[int, list[float]] = {size: [] for size in (1, 8, 32)}
    for _ in range(60):
        found = rows({a: rng.binomial(LOOKS, 0.05, 32).tolist() for a in (1.0, 2.0, 3.0)})
        for size, values in sizes.items():
            values += predicted(found, size, draws=5)
    shares = {size: np.mean(np.array(values) > 1.0) for size, values in sizes.items()}
    assert max(shares.values()) <= 0.02
