from __future__ import annotations

import pytest
import torch
from tests.metrics import seeing

from excise.errors import BadSetting, MissingJudge
from excise.metrics.kid import KID, kid
from excise.primitives.halves import halves
from excise.rng import generator

GROUPS = ["dog", "car"] * 60


def features(seed: int, shift: float = 0.0, n: int = 120) -> torch.Tensor:
    return torch.randn(n, 6, generator=generator("kid", seed)) + shift


def test_a_model_held_against_itself_is_at_zero_and_another_is_above() -> None:
    base = features(0)
    same = kid(base, base, GROUPS)
    near, far = kid(features(1, 0.4), base, GROUPS), kid(features(1, 1.0), base, GROUPS)
    assert same is not None
    assert near is not None
    assert far is not None
    assert 0.0 in same
    assert 0 < near.low < near.value < far.low
    other = kid(features(1), base, GROUPS)  # other pictures of the same kind
    assert other is not None
    assert 0.0 in other


def test_one_split_is_the_unbiased_estimate_of_the_paper() -> None:
    x, y = features(0).double(), features(1, 0.5).double()
    estimates = []
    for i in range(3):
        a, b = halves(GROUPS, 7, i)
        m = len(a)

        def kernel(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return (u @ v.T / u.shape[1] + 1) ** 3

        own = sum(
            (kernel(z, z).sum() - kernel(z, z).diagonal().sum()) / (m * (m - 1))
            for z in (x[a], y[b])
        )
        estimates.append(float(own - 2 * kernel(x[a], y[b]).mean()))
    found = kid(x, y, GROUPS, splits=3, seed=7)
    assert found is not None
    assert found.value == pytest.approx(sum(estimates) / 3, rel=1e-9)
    wanted = 1.96 * float(torch.tensor(estimates).std())
    assert found.high - found.value == pytest.approx(wanted, rel=1e-3)


def test_the_interval_is_as_wide_as_the_figure_varies() -> None:
    runs = [
        kid(features(2 * i, 0.5, 60), features(2 * i + 1, n=60), GROUPS[:60], splits=12)
        for i in range(30)
    ]
    values = torch.tensor([one.value for one in runs if one is not None])
    widths = torch.tensor([(one.high - one.value) / 1.96 for one in runs if one is not None])
    assert 0.7 < float(widths.mean() / values.std()) < 1.5


def test_it_leaves_the_global_generator_alone_and_says_the_same_again() -> None:
    state = torch.get_rng_state()
    one = kid(features(0), features(1), GROUPS, splits=2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert kid(features(0), features(1), GROUPS, splits=2) == one
    assert kid(features(0), features(1), GROUPS, splits=2, seed=1) != one


def test_too_few_pictures_say_nothing() -> None:
    assert kid(features(0, n=3), features(1, n=3), ["dog"] * 3) is None
    assert kid(features(0, n=4), features(1, n=4), list("abcd")) is None
    with pytest.raises(BadSetting, match="splits >= 2"):
        KID(splits=1)


def test_a_ruined_model_is_far_away_and_an_unchanged_one_is_not() -> None:
    model, judge = seeing.model(), seeing.judge()
    found = KID(pictures=8, splits=6).measure(
        model, None, seeing.CAT, judge=judge, edit=seeing.ruined(model)
    )
    assert found["base"]["low"] <= 0 <= found["base"]["high"]
    assert found["edit"]["low"] > found["base"]["high"]
    assert found["pictures"] == 8  # sixteen of the neighbour, half of them on each side
    assert KID().measure(model, None, seeing.CAT, judge=judge) == {}


def test_features_are_the_judges_or_anything_that_is_given() -> None:
    model, judge = seeing.model(), seeing.judge()
    kind = KID(pictures=4, splits=2)
    own = kind.measure(model, model, seeing.CAT, judge=judge)
    given = kind.measure(model, model, seeing.CAT, judge=seeing.blind(), features=judge.features)
    assert given == own
    network = torch.nn.Sequential(seeing.Floats(), torch.nn.AvgPool2d(8), torch.nn.Flatten())
    other = kind.measure(model, model, seeing.CAT, judge=seeing.blind(), features=network)
    assert other["edit"] != own["edit"]
    with pytest.raises(MissingJudge, match="features of your own"):
        kind.measure(model, model, seeing.CAT, judge=seeing.blind())
