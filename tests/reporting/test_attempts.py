from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tests.suite.arena import P, T, attempts, result

from excise.reporting.attempts import Attempts, settled
from excise.reporting.tried import figures
from excise.reporting.worst_case import largest_excess, worst_found

ROWS = {
    "search": {"base": 1, "edit": 0.6, "oracle": 0.16},
    "reseed": {"base": 1, "edit": 0, "oracle": 0},
}


def test_packed_and_unpacked_they_say_the_same() -> None:
    arms, tried = attempts(ROWS)
    again = Attempts.unpacked(*tried.packed())
    assert again.groups == tried.groups
    assert again.kinds == tried.kinds
    for name in ROWS:
        assert figures(arms, again, name) == figures(arms, tried, name)
    assert largest_excess(arms, again) == largest_excess(arms, tried)
    assert worst_found(arms, again) == worst_found(arms, tried)


def test_no_input_is_kept() -> None:
    _, tried = attempts(ROWS)
    tensors, data = tried.packed()
    assert {key.rpartition("/")[2] for key in tensors} == {"select", "score"}
    assert all(row["record"]["requests"] == [] for row in data["rows"])


def test_at_another_threshold_what_was_chosen_stays_chosen() -> None:
    """Values of 0.4 count at 0.3; the restart that looked better at 0.5 is still the chosen one."""
    low = torch.full((1, P, T), 0.4)
    select = torch.zeros(2, P, 2)
    select[1] = 0.9
    score = torch.cat([torch.full((1, P, T), torch.nan), low])
    one = replace(result(0, restarts=2), select=select, score=score)
    assert one.rate == 0
    _, tried = attempts({"a": {"edit": 0}})
    tried = replace(tried, results={"a": {"edit": one}})
    assert tried.at(0.3).results["a"]["edit"].rate == 1
    assert tried.at(0.5).results["a"]["edit"].rate == 0
    assert len(settled(one)) == 1
    assert np.array_equal(settled(one).hits, one.hits)


def test_a_pool_is_kept_whole() -> None:
    pool = replace(result(0.5, restarts=6), pooled=True, chooses="restart")
    assert settled(pool) is pool
    assert len(pool) == 6
