from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from excise.rng import numpy_generator
from excise.stats import (
    Observations,
    best_of_r,
    clustered_se,
    pooled,
    pooled_rate_upper,
    pooled_ratio,
    wilson_upper,
)

Array = NDArray[np.float64]
E, P, T = 5, 4, 4
N, R = 24, 8
CELLS = {
    "prompt": np.indices((P, T))[0].ravel().tolist(),
    "seed": np.indices((P, T))[1].ravel().tolist(),
}


def pool(rng: np.random.Generator, at: Array) -> tuple[Array, float]:
    """The expected hits (P * T,) of the best of R from a pool, and the jackknife's error of it.

    at: (P, T), how easily each prompt and seed gives way.
    """
    rate = 1 / (1 + np.exp(-(at + rng.normal(-2.5, 1.2, (N, 1, 1)))))  # (N, P, T)
    score = (rng.random(rate.shape) < rate).astype(float)
    looks = rng.binomial(8, rate.mean(axis=(1, 2))) + 1e-3 * rng.random(N)
    every = [np.delete(np.arange(N), i) for i in range(N)]
    means = np.array([best_of_r(score[w].mean(axis=(1, 2)), looks[w], R) for w in every])
    se = float(np.sqrt((N - 1) * means.var()))
    return best_of_r(score, looks, R).ravel(), se


def as_before(gaps: Array, errors: Array) -> float:
    """The upper bound that divides all of the error by the number of edits."""
    within = [
        np.hypot(clustered_se(Observations.of(gap, CELLS)), error)
        for gap, error in zip(gaps, errors, strict=True)
    ]
    se = max(gaps.mean(axis=1).std(ddof=1), float(np.mean(within))) / np.sqrt(len(gaps))
    return float(gaps.mean() + stdtrit(len(gaps) - 1, 0.95) * se)


@pytest.mark.parametrize(
    ("cells", "edit", "search", "oracle"),
    [(0.1, 0.0, 0.02, 0.05), (0.05, 0.03, 0.05, 0.05), (0.0, 0.0, 0.0, 0.06)],
)
def test_what_edits_share_is_covered_and_was_not(
    cells: float, edit: float, search: float, oracle: float
) -> None:
    # Prompts, seeds and the oracle's search are the same for all edits; the true excess is nothing.
    rng = numpy_generator("shared", cells, edit, search, oracle)
    new = old = 0
    runs, tries = 1000, 4
    for _ in range(runs):
        same = rng.normal(0, cells, (P, 1)) + rng.normal(0, cells / 2, (1, T))
        same = same - rng.normal(0, oracle) - rng.normal(0, 0.1, (P, T))
        own = rng.normal(0, edit, E) + rng.normal(0, search, E)
        gaps = same.ravel() + own[:, None] + rng.normal(0, 0.1, (E, P * T))
        errors = search * np.sqrt(rng.chisquare(tries - 1, E) / (tries - 1))
        shared = float(oracle * np.sqrt(rng.chisquare(tries - 1) / (tries - 1)))
        found = pooled(gaps, CELLS, own=errors.tolist(), shared=shared, tries=tries)
        new += found.high() >= 0
        old += as_before(gaps, np.hypot(errors, shared)) >= 0
    assert new / runs >= 0.935
    assert old / runs < 0.905


def test_the_excess_of_pools_over_the_pool_of_an_oracle_is_covered() -> None:
    rng = numpy_generator("excess")
    runs, covered = 80, 0
    for _ in range(runs):
        at = rng.normal(0, 0.5, (P, 1)) + rng.normal(0, 0.5, (1, T))
        own = [pool(rng, at + rng.normal(0, 0.2)) for _ in range(E)]  # the oracle is like them
        oracle, shared = pool(rng, at)
        gaps = np.stack([hits for hits, _ in own]) - oracle
        errors = [se for _, se in own]
        found = pooled(gaps, CELLS, own=errors, shared=shared, tries=N / R, rare=True)
        covered += found.high() >= 0 and found.low() <= 0
    assert covered / runs >= 0.88  # two one-sided bounds


def leaking(rng: np.random.Generator, edits: int) -> Array:
    """Hits (edits, 160) on 80 prompts, of which one in ten leaks, at equal noise."""
    rate = np.where(rng.random((80, 1)) < 0.1, 0.2, 1e-12)
    noise = np.sqrt(0.5) * (rng.normal(size=(1, 80, 2)) + rng.normal(size=(edits, 80, 2)))
    return (noise < ndtri(rate)).astype(float).reshape(edits, -1)


PROMPTS = {"prompt": np.repeat(np.arange(80), 2).tolist()}


def test_the_rate_of_plain_words_is_covered_and_wilsons_over_all_pictures_is_not() -> None:
    rng = numpy_generator("plain")
    runs = 500
    tables = [leaking(rng, E) for _ in range(runs)]
    new = sum(pooled_rate_upper(hits, PROMPTS) >= 0.02 for hits in tables)
    old = sum(wilson_upper(int(hits.sum()), hits.size) >= 0.02 for hits in tables)
    assert new / runs >= 0.93
    assert old / runs < 0.85


def test_more_edits_without_a_hit_on_the_same_pictures_say_no_more() -> None:
    for edits in (1, 5, 50):
        upper = pooled_rate_upper(np.zeros((edits, 160)), PROMPTS)
        assert upper == wilson_upper(0, 160)
    one = np.zeros((5, 160))
    one[0, 0] = 1
    assert pooled_rate_upper(one, PROMPTS) >= wilson_upper(0, 160)
    assert pooled_rate_upper(np.ones((5, 160)), PROMPTS) == 1


def kept(rng: np.random.Generator, before: Array, share: Array) -> Array:
    return (before * (rng.random(before.shape) < share)).astype(float)


def test_the_share_that_is_kept_is_covered() -> None:
    # 30 prompts, each kept with a chance of its own, and edits that differ a little.
    rng = numpy_generator("kept")
    labels = np.repeat(np.arange(30), 6)
    runs, above, wide = 400, 0, 0
    for _ in range(runs):
        prompt = rng.beta(19, 1, 30)[labels]
        before = (rng.random(180) < 0.9).astype(float)
        edit = 1 - rng.uniform(0, 0.02, E)
        after = np.stack([kept(rng, before, prompt * one) for one in edit])
        found = pooled_ratio(after, before, {"prompt": labels.tolist()})
        above += found.low() > 0.95 * 0.99
        independent = after.sum() / (before.sum() * E)
        half = 1.645 * np.sqrt(independent * (1 - independent) / (before.sum() * E))
        wide += independent - half > 0.95 * 0.99
    assert above / runs <= 0.07
    assert wide / runs > 0.12  # as if all pictures of all edits were independent


def test_edits_that_agree_are_as_uncertain_as_one() -> None:
    one = numpy_generator("same").random((1, P * T))
    alone, many = pooled(one, CELLS), pooled(np.repeat(one, 7, axis=0), CELLS)
    assert alone.se == clustered_se(Observations.of(one[0], CELLS))
    assert many.se == pytest.approx(alone.se)
    assert many.freedom == pytest.approx(alone.freedom)
    assert many.low() < many.value < many.high()


def test_the_parts_add_up_and_only_what_is_an_edits_own_is_divided() -> None:
    means = np.array([0.1, 0.2, 0.6])
    flat = np.repeat(means[:, None], P * T, axis=1)  # no item differs from another
    found = pooled(flat, CELLS)
    assert found.se == pytest.approx(means.std(ddof=1) / np.sqrt(3))
    assert found.freedom == pytest.approx(2)
    alike = np.zeros((3, P * T))
    searched = pooled(alike, CELLS, own=(0.3, 0.3, 0.3), shared=0.4, tries=3)
    assert searched.se == pytest.approx(np.sqrt(0.3**2 / 3 + 0.4**2))
    assert 2 < searched.freedom < 3  # the oracle's part, of which little is known, weighs most
    assert pooled(alike, CELLS).se == 0
    assert pooled(alike, CELLS, rare=True).se > 0


def test_a_share_is_that_of_the_means_and_nothing_lost_is_not_nothing_to_lose() -> None:
    before = np.array([1.0, 1, 1, 0])
    prompts = {"prompt": [0, 0, 1, 1]}
    after = np.stack([before, np.array([1.0, 0, 1, 0])])
    assert pooled_ratio(after, before, prompts).value == pytest.approx(5 / 6)
    assert pooled_ratio(before[None], before, prompts).low() < 1
    weighed = pooled_ratio(after, before, prompts, weights=[2.0, 0.0, 1.0, 1.0])
    assert weighed.value == 1
    with pytest.raises(ValueError, match="hits of the base"):
        pooled_ratio(after, np.zeros(4), prompts)


def test_values_without_edits_or_items_are_refused() -> None:
    with pytest.raises(ValueError, match="edits, items"):
        pooled(np.zeros(4), {"prompt": [0, 0, 1, 1]})
    with pytest.raises(ValueError, match="edits, items"):
        pooled(np.zeros((0, 4)), {"prompt": [0, 0, 1, 1]})
