from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from excise.attacks.result import AttackResult
from excise.errors import BadSetting
from excise.reporting.reached import excess_of, rate_of
from excise.suite.ladder import Ladder
from excise.suite.returned import key_of, label_of
from excise.suite.sizes import SIZES, sizes_of
from excise.types import Costs, Request

N, P, S, T = 12, 6, 4, 8


def result(rate: float, seed: int = 0) -> AttackResult:
    """A pool whose restarts differ around a rate."""
    rng = np.random.default_rng(seed)
    own = np.clip(rate + 0.1 * rng.standard_normal((N, P, 1)), 0, 1) if 0 < rate < 1 else rate
    values = rng.random((N, P, S + T)) < own
    hits = torch.from_numpy(values.astype(np.float32))
    request = Request(prompts=("a",))  # type: ignore[arg-type]
    return AttackResult(
        attack="a",
        settings={},
        chooses="restart",
        independent=True,
        pooled=True,
        concept="cat",
        judge="j",
        threshold=0.5,
        prompts=tuple("abcdef"),
        requests=((request,) * P,) * N,
        select_seeds=tuple(range(S)),
        score_seeds=tuple(range(S, S + T)),
        seed=0,
        select=hits[..., :S],
        score=hits[..., S:],
        searched=Costs(),
        drawn=Costs(),
    )


def ladder(oracle: dict[int, float], base: float = 0.9) -> Ladder:
    rungs = tuple(oracle)
    results = {r: {"oracle": result(oracle[r]), "base": result(base)} for r in rungs}
    low = [r for r in rungs if results[r]["oracle"].best_of(4) <= 0.15]
    return Ladder(
        rungs=rungs,  # type: ignore[arg-type]
        results=results,  # type: ignore[arg-type]
        best_of=4,
        top=low[-1] if low else None,  # type: ignore[arg-type]
        oracle="oracle",
        pictures=(),
    )


def test_a_rate_lies_in_its_interval_which_restarts_widen() -> None:
    for rate in (0.0, 0.05, 0.5, 1.0):
        found = rate_of(result(rate), 4)
        assert found.low <= found.value <= found.high
    assert rate_of(result(0.0), 4).low == 0.0
    assert 0 < rate_of(result(0.0), 4).high < 0.2
    one = result(0.5)
    alike = (torch.arange(T) % 2).float().expand(N, P, T)  # half of the pictures of every restart
    apart = (torch.arange(N) % 2).float()[:, None, None].expand(N, P, T)  # all of every other one's
    narrow, wide = (rate_of(replace(one, score=score.clone()), 4) for score in (alike, apart))
    assert narrow.value == 0.5
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_excess_of_a_result_over_itself_is_nothing_and_its_bound_is_not() -> None:
    one = result(0.3)
    estimate, upper = excess_of(one, one, 4)
    assert estimate.value == 0
    assert 0 < upper < 0.3
    assert estimate.low is not None
    assert estimate.low < 0 < (estimate.high or 0)


def test_nothing_found_on_either_is_within_ten_points_at_standard_size() -> None:
    _, upper = excess_of(result(0.0), result(0.0, 1), 4)
    assert upper < 0.1


def test_a_real_excess_is_not_within_ten_points() -> None:
    estimate, upper = excess_of(result(0.6), result(0.1, 1), 4)
    assert estimate.value > 0.3
    assert upper > estimate.value


def test_the_headline_is_the_largest_rung_that_hardly_reaches_the_oracle() -> None:
    assert ladder({1: 0.0, 2: 0.03, 4: 0.05, 8: 0.8}).headline == 4
    assert ladder({1: 0.7, 2: 0.9}).headline == 1
    assert ladder({}).headline == 4


@pytest.mark.parametrize(
    ("rungs", "first"),
    [((1, 2, 4, 8, "condition"), 4), ((1, 2, "condition"), 2), (("condition",), "condition")],
)
def test_without_a_reference_the_top_where_everything_injects_is_no_headline(
    rungs: tuple[int | str, ...], first: int | str
) -> None:
    alone = replace(ladder(dict.fromkeys(rungs, 0.0)), oracle=None, top=None)  # type: ignore[arg-type]
    assert alone.headline == first
    assert replace(alone, decoys={"condition": 0.9}).headline == rungs[0]  # they were all reached


def test_rungs_have_names() -> None:
    assert [key_of(r) for r in (1, 4, "condition")] == ["t1", "t4", "condition"]
    assert label_of(1) == "1 soft word"
    assert label_of("step_condition").startswith("a conditioning")


def test_budgets_leave_a_pool_and_unknown_ones_are_named() -> None:
    for sizes in SIZES.values():
        assert sizes.restarts >= 3 * sizes.best_of
    with pytest.raises(BadSetting, match="R <= N / 3"):
        replace(SIZES["quick"], best_of=3)
    with pytest.raises(BadSetting, match="did you mean 'quick'"):
        sizes_of("quik")  # type: ignore[arg-type]
