from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from excise.rng import numpy_generator
from excise.stats import StandardError, combined


def test_variances_add_up_and_the_scarcest_part_is_the_least_known() -> None:
    parts = [StandardError(value=0.3, freedom=2), StandardError(value=0.4, freedom=11)]
    found = combined(parts)
    assert found.value == pytest.approx(0.5)
    assert found.freedom == pytest.approx(0.25**2 / (0.09**2 / 2 + 0.16**2 / 11))
    assert 2 < found.freedom < 2 + 11
    alone = combined(parts[:1])
    assert (alone.value, alone.freedom) == (pytest.approx(0.3), pytest.approx(2))


def test_a_part_that_is_nothing_or_known_exactly_changes_no_freedom() -> None:
    one = StandardError(value=0.2, freedom=5)
    assert combined([one, StandardError(value=0.0, freedom=1)]).freedom == pytest.approx(5)
    exact = combined([one, StandardError(value=0.2, freedom=math.inf)])
    assert exact.freedom == pytest.approx(20)  # half of the variance is certain
    assert combined([StandardError(value=0.0, freedom=5)]).freedom == 5
    with pytest.raises(ValueError, match="at least one"):
        combined([])


def test_bounds_with_its_freedom_hold_and_with_the_larger_one_do_not() -> None:
    # An error that three tries tell beside one that twelve prompts do, as of a pool of restarts.
    rng = numpy_generator("combined")
    runs, freedom, sigma = 20_000, (2, 11), (0.1, 0.02)
    drawn = sum(rng.normal(0, s, runs) for s in sigma)
    told = [s * np.sqrt(rng.chisquare(f, runs) / f) for f, s in zip(freedom, sigma, strict=True)]
    held = many = 0
    for off, a, b in zip(drawn, *told, strict=True):
        found = combined([StandardError(value=a, freedom=2), StandardError(value=b, freedom=11)])
        held += off + stdtrit(found.freedom, 0.95) * found.value >= 0
        many += off + stdtrit(11, 0.95) * found.value >= 0
    assert held / runs >= 0.93
    assert many / runs < 0.91
