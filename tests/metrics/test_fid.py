from __future__ import annotations

import pytest
import torch
from scipy.linalg import sqrtm
from tests.metrics import seeing

from excise.metrics.fid import FID, fid
from excise.primitives.halves import halves
from excise.rng import generator


def features(seed: int, n: int, shift: float = 0.0, spread: float = 1.0) -> torch.Tensor:
    return spread * torch.randn(n, 5, generator=generator("fid", seed)) + shift


def test_it_is_the_distance_of_two_normal_distributions() -> None:
    groups = ["dog"] * 80
    x, y = features(0, 80).double(), features(1, 80, 0.5, 2.0).double()
    a, b = halves(groups, 0, 0)
    wanted = []
    for one, other in ((x[a], y[b]), (x[b], y[a])):
        s, t = one.T.cov(), other.T.cov()
        gap = float((one.mean(0) - other.mean(0)).square().sum())
        both = float(sqrtm((s @ t).numpy()).real.trace())
        wanted.append(gap + float(s.trace() + t.trace()) - 2 * both)
    found = fid(x, y, groups)
    assert found == pytest.approx(sum(wanted) / 2, rel=1e-6)


def test_it_is_too_large_with_few_pictures_and_for_all_alike() -> None:
    few, many = (fid(features(0, n), features(0, n), ["dog"] * n) for n in (24, 600))
    assert few is not None
    assert many is not None
    assert few > 4 * many > 0
    collapsed = fid(features(0, 600, spread=0.01), features(0, 600), ["dog"] * 600)
    assert collapsed is not None
    assert collapsed > 1
    assert fid(features(0, 3), features(0, 3), ["dog"] * 3) is None


def test_the_answer_says_how_many_pictures_and_how_to_read_it() -> None:
    model, judge = seeing.model(), seeing.judge()
    found = FID(pictures=8).measure(model, None, seeing.CAT, judge=judge, edit=seeing.ruined(model))
    assert found["edit"] > 2 * found["base"]
    assert (found["pictures"], found["features"]) == (8, 48)
    assert "too large" in found["caveat"]
    assert FID().measure(model, None, seeing.CAT, judge=judge) == {}
