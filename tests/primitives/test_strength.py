"""The search finds both ends of a known response, and says so if nothing is between them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from excise.errors import BadSetting
from excise.primitives.kept import Class, Kept
from excise.primitives.strength import Floors, Reading, alive, conclude, search
from excise.stats import Rate, wilson

N = 1000
FLOORS = Floors()


def of_kept(share: float) -> Kept:
    row = Class(
        name="dog",
        near=True,
        base=wilson(N, N),
        edit=wilson(round(share * N), N),
        ratio=share,
        high=share,
    )
    zero = wilson(0, N)
    return Kept(
        mean=share, lower=share, level=0.95, classes=(row,), weak=(), nothing=zero, pictures=N
    )


def response(gone_at: float, lost_at: float) -> Callable[[float], Reading]:
    """A concept that is extinct from one strength on, and a rest that is lost from another."""

    def measure(alpha: float) -> Reading:
        there = round(N * max(0.0, 1 - alpha / gone_at))
        share = 1.0 if alpha <= lost_at else max(0.0, 1 - (alpha - lost_at))
        rates = (Rate(there, N), Rate(0, N))
        return Reading(alpha=alpha, plain=Rate(there, N), embeddings=rates, kept=of_kept(share))

    return measure


def test_the_ends_of_a_known_response_are_found() -> None:
    found = search(response(1.3, 2.2), floors=FLOORS, refine=6)
    assert found.feasible
    assert found.erased_from is not None
    assert found.kept_to is not None
    # 1 % of the concept may be left, 3 % of the rest may be gone.
    assert found.erased_from == pytest.approx(1.3 * 0.99, abs=0.02)
    assert found.kept_to == pytest.approx(2.23, abs=0.02)
    assert found.chosen is not None
    assert found.erased_from <= found.chosen <= found.kept_to


def test_the_next_best_strength_is_between_the_ends_too() -> None:
    found = search(response(1.3, 2.2), floors=FLOORS, grid=(1.0, 1.5, 2.0, 3.0), refine=0)
    assert found.best() == found.chosen == 1.5
    assert found.best({1.5}) == 2.0
    assert found.best({1.5, 2.0}) is None
    assert search(response(3.0, 1.0), floors=FLOORS).best() is None


def test_a_concept_that_outlives_the_rest_is_infeasible_with_both_ends() -> None:
    found = search(response(3.0, 1.0), floors=FLOORS, refine=4)
    assert not found.feasible
    assert found.chosen is None
    assert found.kept_to is not None
    assert found.erased_from is not None
    assert found.kept_to < 1.1 < 2.9 < found.erased_from


def test_the_walk_stops_once_stronger_can_only_keep_less() -> None:
    asked: list[float] = []
    measure = response(0.9, 1.1)

    def counted(alpha: float) -> Reading:
        asked.append(alpha)
        return measure(alpha)

    search(counted, floors=FLOORS, grid=(1.0, 2.0, 3.0, 4.0), refine=0)
    assert asked == [1.0, 2.0]


def test_where_the_first_keeps_too_little_the_walk_goes_down() -> None:
    def asked(gone_at: float, lost_at: float, grid: tuple[float, ...]) -> list[float]:
        found = search(response(gone_at, lost_at), floors=FLOORS, grid=grid, refine=0)
        return [reading.alpha for reading in found.readings]

    assert asked(0.5, 0.84, (0.9, 1.0, 1.1)) == [0.8, 0.9]
    assert asked(0.5, 0.7, (0.9, 1.0, 1.1)) == [0.7, 0.8, 0.9]
    assert asked(0.5, 0.2, (0.9, 1.0, 1.1)) == [0.7, 0.8, 0.9]  # as far as the grid is long
    assert asked(0.85, 0.2, (0.9, 1.0, 1.1)) == [0.8, 0.9]  # weaker ones do not erase
    assert asked(0.4, 0.2, (0.5, 1.0, 1.5)) == [0.5]  # nothing is left to go down to


def test_one_embedding_that_survives_is_enough_to_say_no() -> None:
    kept = of_kept(1.0)
    rates = tuple(Rate(8 if i == 3 else 0, 8) for i in range(100))
    reading = Reading(alpha=1.0, plain=Rate(0, N), embeddings=rates, kept=kept)
    assert reading.searched < FLOORS.injected
    assert reading.survivors(FLOORS.injected) == (3,)
    assert not reading.erased(FLOORS)


def test_a_strength_that_works_again_later_does_not_hide_the_gap() -> None:
    """Erasure has to hold from alpha_E on: a lucky low strength does not count."""
    measure = response(1.0, 9.0)
    lucky = Reading(alpha=0.2, plain=Rate(0, N), embeddings=(), kept=of_kept(1.0))
    found = conclude((lucky, measure(0.5), measure(1.0), measure(2.0)), FLOORS)
    assert found.erased_from == 1.0


def test_the_choice_has_the_largest_smaller_margin() -> None:
    found = search(response(1.0, 4.0), floors=FLOORS, grid=(1.0, 2.0, 3.0), refine=0)
    assert found.chosen is not None
    best = min(found.at(found.chosen).margins(FLOORS))
    assert all(min(r.margins(FLOORS)) <= best for r in found.readings)


@pytest.mark.parametrize("grid", [(), (0.0, 1.0), (2.0, 1.0), (math.nan,)])
def test_a_grid_that_does_not_rise_is_refused(grid: tuple[float, ...]) -> None:
    with pytest.raises(BadSetting, match="rise"):
        search(response(1.0, 2.0), floors=FLOORS, grid=grid)


def test_floors_are_shares() -> None:
    with pytest.raises(BadSetting, match="injected"):
        Floors(injected=10.0)


def test_one_of_many_at_the_floor_is_no_survivor_and_one_far_above_it_is() -> None:
    rng = np.random.default_rng(0)
    chance = [
        bool(alive([Rate(int(k), 8) for k in rng.binomial(8, 0.1, 16)], 0.1)) for _ in range(400)
    ]
    assert np.mean(chance) <= 0.12
    rates = [Rate(0, 8)] * 15 + [Rate(6, 8)]
    assert alive(rates, 0.1) == (15,)
    assert alive([], 0.1) == ()
