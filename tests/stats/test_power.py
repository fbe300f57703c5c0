from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from excise.rng import numpy_generator
from excise.stats import power, sample_size

Z = NormalDist().inv_cdf(0.95)


def width(n: int, edit: float, oracle: float, quantile: float = Z) -> float:
    """Of the bound over the difference of two rates, `n` pictures an arm."""
    return quantile * math.sqrt((edit * (1 - edit) + oracle * (1 - oracle)) / n)


def test_the_textbook_number_for_a_margin() -> None:
    # Chow, Shao and Wang, "Sample Size Calculations in Clinical Research", two-sample parallel
    # design: equal rates of 20 %, margin 10 %, one-sided 5 %, power 80 %: 198 an arm.
    for n in (50, 500):
        assert sample_size(n, 0.1, width(n, 0.2, 0.2), Z) == 198


def test_power_and_size_are_inverse() -> None:
    for rate, quantile in ((0.05, Z), (0.2, 2.4), (0.02, 3.0)):
        n = sample_size(100, 0.1, width(100, rate, rate, quantile), quantile)
        assert power(0.1, width(n, rate, rate, quantile), quantile) >= 0.8
        assert power(0.1, width(n - 1, rate, rate, quantile), quantile) < 0.8


def test_power_is_what_simulation_finds() -> None:
    rng = numpy_generator("power")
    n, rate = 200, 0.2
    one, two = rng.binomial(n, rate, 20_000) / n, rng.binomial(n, rate, 20_000) / n
    se = np.sqrt((one * (1 - one) + two * (1 - two)) / n)
    shown = (one - two + Z * se < 0.1).mean()
    assert power(0.1, width(n, rate, rate), Z) == pytest.approx(shown, abs=0.03)


def test_power_falls_with_the_bounds_width_and_with_the_claims_that_it_has_to_hold_for() -> None:
    assert power(0.1, 0.1, Z) == pytest.approx(0.5)  # just within the margin at every try
    assert power(0.1, 0.12, Z) < power(0.1, 0.08, Z)
    # At the same standard error more claims make the bound wider.
    assert power(0.1, 3.0 * 0.04, 3.0) < power(0.1, Z * 0.04, Z)
