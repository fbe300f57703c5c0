from __future__ import annotations

import numpy as np
import pytest

from excise.rng import numpy_generator
from excise.stats import design_effect, power, sample_size


def test_the_textbook_number_for_a_margin() -> None:
    # Chow, Shao and Wang, "Sample Size Calculations in Clinical Research", two-sample parallel
    # design: 85 % against 65 % response, margin 10 %, one-sided 5 %, power 80 %: 25 an arm.
    assert sample_size(margin=0.1, edit=0.15, oracle=0.35) == 25
    assert sample_size(margin=0.1, edit=0.2, oracle=0.2) == 198


def test_power_and_size_are_inverse() -> None:
    for rates in ((0.05, 0.05), (0.2, 0.15), (0.0, 0.02)):
        edit, oracle = rates
        n = sample_size(margin=0.1, edit=edit, oracle=oracle, claims=3, pairing=0.2, effect=1.5)
        given = {"margin": 0.1, "edit": edit, "oracle": oracle, "claims": 3}
        assert power(n, **given, pairing=0.2, effect=1.5) >= 0.8  # type: ignore[arg-type]
        assert power(n - 1, **given, pairing=0.2, effect=1.5) < 0.8  # type: ignore[arg-type]


def test_power_is_what_simulation_finds() -> None:
    rng = numpy_generator("power")
    n, edit, oracle = 200, 0.2, 0.2
    one, two = rng.binomial(n, edit, 20_000) / n, rng.binomial(n, oracle, 20_000) / n
    se = np.sqrt((one * (1 - one) + two * (1 - two)) / n)
    shown = (one - two + 1.645 * se < 0.1).mean()
    assert power(n, margin=0.1, edit=edit, oracle=oracle) == pytest.approx(shown, abs=0.03)


def test_power_falls_with_claims_and_clusters_and_rises_with_pairing() -> None:
    base = power(150, margin=0.1, edit=0.2, oracle=0.2)
    assert power(150, margin=0.1, edit=0.2, oracle=0.2, claims=5) < base
    assert power(150, margin=0.1, edit=0.2, oracle=0.2, effect=design_effect(8, 0.1)) < base
    assert power(150, margin=0.1, edit=0.2, oracle=0.2, pairing=0.5) > base
    assert design_effect(8, 0.0) == 1
    assert design_effect(8, 1.0) == 8


def test_an_excess_of_the_margin_cannot_be_shown_to_be_within_it() -> None:
    with pytest.raises(ValueError, match="< margin"):
        sample_size(margin=0.1, edit=0.35, oracle=0.2)
    assert power(10**6, margin=0.1, edit=0.3, oracle=0.2) == pytest.approx(0.05)
    assert power(9, margin=0.1, edit=0.0, oracle=0.0) == 1.0
    with pytest.raises(ValueError, match="rates"):
        power(9, margin=0.1, edit=1.2, oracle=0.0)
