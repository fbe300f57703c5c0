"""Figures of pools of restarts, whose own draw is a part of the error."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.special import stdtrit
from tests.suite.test_returned import N, P, result

from excise.attacks.result import AttackResult, observed
from excise.reporting.reached import (
    curve_of,
    excess_of,
    hits_of,
    restarts_errors,
    unanimous,
)
from excise.stats import StandardError, combined, survival_bound
from excise.stats.clusters import difference_se


def moving() -> AttackResult:
    """A pool of which every other restart works, for all prompts alike, on two seeds of eight."""
    one = result(0.0)
    n, p, t = one.score.shape
    works = (torch.arange(n) % 2 == 0)[:, None, None] & (torch.arange(t) < 2)
    looks = torch.rand(one.select.shape, generator=torch.Generator().manual_seed(0))
    return replace(one, select=looks, score=works.float().expand(n, p, t).clone())


def test_a_pool_of_n_holds_n_over_r_tries() -> None:
    pools = [result(0.5), result(0.4, 1)]
    (alone,) = restarts_errors(pools[:1], 4)
    assert alone.freedom == N / 4 - 1
    assert alone.value == pools[0].curve(4).se[-1]
    both = restarts_errors(pools, 4)
    assert [one.value for one in both] == [one.curve(4).se[-1] / 2 for one in pools]
    assert restarts_errors(pools, None) == ()
    assert restarts_errors(pools, N) == ()  # every restart is in the one try there is


def test_what_few_tries_tell_has_their_quantile_and_not_the_prompts() -> None:
    """No prompt differs from another, so that nearly all of the spread is the restarts'."""
    one, floor = moving(), result(0.0)
    estimate, upper = excess_of(one, floor, 4)
    data = observed(hits_of(one, 4) - hits_of(floor, 4))
    (draw, _) = restarts_errors([one], 4) + restarts_errors([floor], 4)
    whole = combined([StandardError(value=difference_se(data), freedom=P - 1), draw])
    assert 2 < whole.freedom < 3
    assert upper == pytest.approx(estimate.value + stdtrit(whole.freedom, 0.95) * whole.value)
    assert upper > estimate.value + 1.2 * stdtrit(P - 1, 0.95) * whole.value


def test_restarts_that_all_did_the_same_leave_the_next_one_open() -> None:
    for rate, worked in ((0.0, False), (1.0, True)):
        found = unanimous(result(rate), 4)
        assert found is not None
        assert (found.n, found.worked) == (N, worked)
        assert found.next == survival_bound(N)
        (error,) = restarts_errors([result(rate)], 4)
        assert error.value == 0  # the reason why it has to be said
    assert unanimous(moving(), 4) is None
    assert unanimous(result(0.0), None) is None  # no pool


def test_there_is_no_curve_of_a_search_that_was_told_of_its_pictures() -> None:
    one = replace(result(0.5), pooled=False, independent=False)
    assert curve_of(one) is not None
    assert curve_of(replace(one, steered=True)) is None
