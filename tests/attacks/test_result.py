from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from excise.attacks.result import AttackResult
from excise.errors import BadFile, UserError
from excise.primitives.bands import BANDS, banded
from excise.stats import best_of_r, wilson
from excise.types import Condition, Costs, Prompt, Request


def result(
    select: Tensor,
    score: Tensor,
    chooses: Literal["prompt", "restart"] = "prompt",
    independent: bool = True,
) -> AttackResult:
    n, p, s = select.shape
    return AttackResult(
        attack="toy",
        settings={"restarts": n},
        chooses=chooses,
        independent=independent,
        pooled=independent,
        concept="cat",
        judge="coin",
        threshold=0.5,
        prompts=tuple(f"prompt {i}" for i in range(p)),
        requests=tuple(
            tuple(Request(prompts=(Prompt(f"{restart} {i}"),)) for i in range(p))
            for restart in range(n)
        ),
        select_seeds=tuple(range(s)),
        score_seeds=tuple(range(100, 100 + score.shape[2])),
        seed=0,
        select=select,
        score=score,
        searched=Costs(gradients=5),
        drawn=Costs(pictures=7),
    )


def values(*shape: int, seed: int = 0, rate: float = 0.5) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=draw) + rate - 0.5).clamp(0, 1)


def test_each_prompt_has_its_own_choice() -> None:
    select = torch.tensor([[[0.9, 0.9], [0.1, 0.1]], [[0.9, 0.1], [0.9, 0.2]]])
    score = torch.zeros(2, 2, 4)
    score[0, 0] = score[1, 1] = 1
    each = result(select, score)
    assert each.chosen == (0, 1)
    assert each.rate == 1
    assert [r.prompts[0].text for r in each.chosen_requests] == ["0 0", "1 1"]
    together = result(select, score, chooses="restart")
    assert len(set(together.chosen)) == 1
    assert together.rate == 0.5


def test_equal_rates_are_told_apart_by_the_judge_s_mean() -> None:
    select = torch.tensor([[[0.6, 0.1]], [[0.9, 0.1]], [[0.6, 0.2]]])
    assert result(select, torch.zeros(3, 1, 1)).looks[:, 0].tolist() == [0, 2, 1]


@pytest.mark.parametrize("chooses", ["prompt", "restart"])
def test_best_of_r_is_the_unbiased_estimate(chooses: Literal["prompt", "restart"]) -> None:
    found = result(values(9, 1, 4), values(9, 1, 6, seed=1), chooses)
    hits = (found.score >= 0.5).double().numpy()[:, 0]
    for r in (1, 2, 3):
        expected = best_of_r(hits, found.looks[:, 0], r)
        assert np.allclose(found.expected(r)[0], expected)
    assert found.best_of(1) == pytest.approx(hits.mean())
    assert found.best_of(9) == pytest.approx(found.rate)
    curve = found.curve()
    assert curve.restarts == (1, 2, 3)
    assert curve.rate == pytest.approx([found.best_of(r) for r in curve.restarts])
    left = [best_of_r(np.delete(hits.mean(1), i), np.delete(found.looks[:, 0], i), 3)
            for i in range(9)]  # fmt: skip
    assert curve.se[2] ** 2 == pytest.approx(8 * np.var(left))  # the jackknife's
    with pytest.raises(UserError, match="1 <= R < 9"):
        found.curve(9)


def test_looking_often_is_not_succeeding() -> None:
    """A true rate of 5 %: the union of looks finds the concept, the score does not."""
    found = [
        result(values(16, 4, 8, seed=i, rate=0.05), values(16, 4, 20, seed=50 + i, rate=0.05))
        for i in range(12)
    ]
    assert np.mean([r.naive for r in found]) > 0.9
    rates = [r.rate for r in found]
    assert abs(np.mean(rates) - 0.05) < 0.02


def test_hits_are_clustered_by_prompt() -> None:
    data = result(values(3, 4, 2), values(3, 4, 5, seed=1)).observations()
    assert set(data.varying()) == {"prompt"}
    one = result(values(3, 1, 2), values(3, 1, 5)).observations()
    assert set(one.varying()) == {"seed"}
    assert len(data.values) == 20
    assert data.mean in wilson(round(data.mean * 20), 20)


def test_dependent_restarts_have_no_curve() -> None:
    score = torch.full((2, 1, 3), torch.nan)
    score[1] = torch.tensor([0.9, 0.9, 0.1])
    found = result(torch.tensor([[[0.1]], [[0.9]]]), score, independent=False)
    assert found.rate == pytest.approx(2 / 3)
    with pytest.raises(UserError, match="budget_curve"):
        found.best_of(1)


def test_the_curve_over_the_budget_is_that_of_an_attacker_with_one_look_less() -> None:
    """Against every subset of restarts and every seed left out, by hand."""
    from itertools import combinations

    found = result(values(6, 2, 3), torch.zeros(6, 2, 1), chooses="prompt")
    curve = found.budget_curve()
    assert curve.restarts == (1, 2, 3, 4, 5, 6)
    select = found.select.double().numpy()
    for r, rate in zip(curve.restarts, curve.rate, strict=True):
        hits = []
        for left in range(3):
            rest = np.delete(select, left, axis=2)
            for p in range(2):
                for rows in combinations(range(6), r):
                    own = rest[list(rows), p]
                    best = max(range(r), key=lambda i: ((own[i] >= 0.5).mean(), own[i].mean()))
                    hits.append(select[rows[best], p, left] >= 0.5)
        assert rate == pytest.approx(np.mean(hits))


def test_the_curve_of_dependent_restarts_goes_in_their_order() -> None:
    select = torch.zeros(4, 3, 2)
    select[2:] = 0.9  # found at the third look, and kept
    found = result(select, torch.zeros(4, 3, 1), chooses="prompt", independent=False)
    assert found.budget_curve().rate == (0, 0, 1, 1)
    with pytest.raises(UserError, match="two select seeds"):
        result(select[..., :1], torch.zeros(4, 3, 1)).budget_curve()


def test_there_is_no_curve_of_a_search_that_was_told_of_the_seeds() -> None:
    """It stops where both seeds happen to show the concept, so neither is fresh any more."""
    told = replace(result(values(6, 2, 3), torch.zeros(6, 2, 1), independent=False), steered=True)
    with pytest.raises(UserError, match="no select seed has steered"):
        told.budget_curve()
    made = told.artefact()
    assert AttackResult.of(made).steered
    del made.record["steered"]  # type: ignore[union-attr, arg-type, call-overload]
    assert AttackResult.of(made).steered  # where nobody says it, the worse is taken


def test_a_trimmed_result_is_the_same_but_for_the_inputs_that_were_not_chosen() -> None:
    whole = result(values(5, 3, 2), values(5, 3, 4, seed=1))
    small = AttackResult.of(whole.trimmed().artefact())
    assert len(small) == 5
    assert small.rate == whole.rate
    assert small.best_of(2) == whole.best_of(2)
    assert [r.prompts[0].text for r in small.chosen_requests] == [
        r.prompts[0].text for r in whole.chosen_requests
    ]
    assert len(small.requests) == 1
    assert small.trimmed().artefact().record == small.artefact().record


def test_it_is_read_back_as_it_was(tmp_path: Path) -> None:
    found = result(values(2, 2, 3), values(2, 2, 4))
    plain = Condition(tensors={"hidden": torch.zeros(1, 2, 3)})
    cond = banded(plain, {"hidden": torch.randn(1, 4, 2, 3)})
    requests = (found.requests[0], (Request(condition=cond, edit=BANDS), found.requests[1][1]))
    found = replace(found, requests=requests)
    found.save(tmp_path / "a")
    again = AttackResult.load(tmp_path / "a")
    assert again.to_json() == found.to_json()
    assert torch.equal(again.score, found.score)
    assert again.requests[0][0].prompts == found.requests[0][0].prompts
    kept = again.requests[1][0].condition
    assert kept is not None
    assert torch.equal(kept.tensors["bands/hidden"], cond.tensors["bands/hidden"])
    again.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(BadFile):
        (tmp_path / "c").write_bytes(b"c")
        AttackResult.load(tmp_path / "c")
