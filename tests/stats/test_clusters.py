from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from excise.rng import numpy_generator
from excise.stats import (
    Observations,
    clustered_se,
    difference_interval,
    rate_interval,
    wilson,
)

RUNS = 1000


def logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def hits(
    rng: np.random.Generator, shape: tuple[int, int, int], spread: tuple[float, float], at: float
) -> NDArray[np.float64]:
    """Hits (R, P, S) whose rate varies with restart and prompt."""
    restart = rng.normal(0, spread[0], (shape[0], 1, 1))
    prompt = rng.normal(0, spread[1], (1, shape[1], 1))
    return (rng.random(shape) < logistic(at + restart + prompt)).astype(float)


@pytest.mark.parametrize(
    ("shape", "spread", "at"),
    [
        ((8, 16, 8), (0.0, 0.0), -3.0),
        ((8, 16, 8), (1.0, 0.3), -1.0),
        ((20, 20, 2), (1.0, 1.0), 0.0),
        ((5, 6, 8), (1.0, 1.0), -2.0),
    ],
    ids=str,
)
def test_rates_are_covered(
    shape: tuple[int, int, int], spread: tuple[float, float], at: float
) -> None:
    rng = numpy_generator("rates", str(shape))
    truth = logistic(at + rng.normal(0, np.hypot(*spread), 1_000_000)).mean()
    inside = sum(
        truth in rate_interval(Observations.crossed(hits(rng, shape, spread, at), ("r", "p")))
        for _ in range(RUNS)
    )
    assert inside / RUNS >= 0.93  # three standard errors below the level


def test_pictures_taken_for_independent_cover_far_less() -> None:
    # What the clustered interval is for: this test could not fail if pictures were independent.
    rng = numpy_generator("naive")
    truth = logistic(rng.normal(0, np.hypot(1, 0.3), 1_000_000) - 1).mean()
    tables = [hits(rng, (8, 16, 8), (1.0, 0.3), -1.0) for _ in range(200)]
    inside = sum(truth in wilson(int(t.sum()), t.size) for t in tables)
    assert inside / len(tables) < 0.6


def test_differences_are_covered_also_when_they_are_rare() -> None:
    rng = numpy_generator("differences")
    for rates in ((0.3, 0.2), (0.02, 0.01)):
        inside = 0
        for _ in range(RUNS):
            shift = rng.normal(0, 0.5, (12, 1, 1)) + rng.normal(0, 0.5, (1, 8, 1))
            at = np.log(np.array(rates) / (1 - np.array(rates)))
            one, two = (rng.random((12, 8, 4)) < logistic(a + shift) for a in at)
            wide = rng.normal(0, np.hypot(0.5, 0.5), 20_000)
            truth = logistic(at[0] + wide).mean() - logistic(at[1] + wide).mean()
            data = Observations.crossed(one.astype(float) - two, ("restart", "prompt"))
            inside += truth in difference_interval(data)
        assert inside / RUNS >= 0.93


def test_no_difference_seen_is_not_no_difference() -> None:
    data = Observations.crossed(np.zeros((8, 8)), ("restart", "prompt"))
    interval = difference_interval(data)
    assert interval.low < 0 < interval.high
    assert interval.high < 0.05
    rate = rate_interval(data)
    assert rate.low == 0
    assert rate.high >= wilson(0, 64).high


def test_one_factor_gives_the_textbook_error() -> None:
    means = np.array([0.1, 0.4, 0.3, 0.8, 0.0])
    table = np.repeat(means[:, None], 10, axis=1)  # (5, 10), no variation inside a cluster
    expected = means.std(ddof=1) / np.sqrt(5)
    assert clustered_se(Observations.crossed(table, ("restart",))) == pytest.approx(expected)


def test_the_error_adds_up_over_crossed_factors() -> None:
    rows, columns = np.array([0.0, 2.0, 4.0]), np.array([0.0, 1.0, 5.0, 2.0])
    table = rows[:, None] + columns
    data = Observations.crossed(table, ("row", "column"))
    cells = table.std(ddof=1) ** 2 / table.size
    expected = rows.var(ddof=1) / 3 + columns.var(ddof=1) / 4 - cells
    assert clustered_se(data) ** 2 == pytest.approx(expected)


def test_the_order_and_names_of_pictures_do_not_matter() -> None:
    rng = numpy_generator("order")
    table = hits(rng, (4, 5, 3), (1, 1), 0)
    data = Observations.crossed(table, ("restart", "prompt"))
    order = rng.permutation(table.size)
    mixed = Observations.of(
        data.values[order],
        {"p": [f"word {x}" for x in data.factors["prompt"][order]],
         "r": data.factors["restart"][order].tolist(), "edit": ["only"] * table.size},
    )  # fmt: skip
    assert clustered_se(mixed) == pytest.approx(clustered_se(data))
    assert mixed.fewest_levels == 4


@pytest.mark.parametrize(
    ("values", "factors", "said"),
    [
        ([], {"r": []}, "shape"),
        ([1, 0], {"r": [1]}, "a level of r for each of 2"),
        ([1, 0], {"r": [1, 1]}, "two levels"),
        ([1, 0], {}, "two levels"),
    ],
)
def test_data_without_clusters_are_refused(
    values: list[int], factors: dict[str, list[int]], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Observations.of(values, factors)
