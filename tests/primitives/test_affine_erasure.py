from __future__ import annotations

import pytest
import torch
from concept_erasure import LeaceFitter
from torch import Tensor

from excise.errors import UserError
from excise.primitives.affine_erasure import CentredMoments, leace
from excise.rng import generator


def data(n: int, d: int, k: int) -> tuple[Tensor, Tensor]:
    """Correlated vectors of a mean of their own, and one of k + 1 classes that shift them."""
    random = generator("data", n, d, k)
    mix = torch.randn(d, d, generator=random, dtype=torch.float64)
    label = torch.randint(k + 1, (n,), generator=random)
    z = torch.nn.functional.one_hot(label, k + 1)[:, :k].double()
    shift = 3 * torch.randn(k, d, generator=random, dtype=torch.float64)
    x = torch.randn(n, d, generator=random, dtype=torch.float64) @ mix + z @ shift + 5
    return x, z


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize(("n", "d"), [(400, 12), (60, 40), (20, 30)])
def test_it_is_the_eraser_of_its_authors(n: int, d: int, k: int, shrink: bool) -> None:
    """To rounding in float64, also with fewer vectors than dimensions."""
    x, z = data(n, d, k)
    theirs = LeaceFitter.fit(x, z, shrinkage=shrink, constrain_cov_trace=False, svd_tol=1e-9).eraser
    ours = leace(CentredMoments.of(x, z), shrink=shrink)
    projection = torch.eye(d, dtype=torch.float64) - ours.left @ ours.right
    torch.testing.assert_close(projection, theirs.P, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ours.mean, theirs.bias, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-7, atol=1e-7)


def accuracy(x: Tensor, z: Tensor) -> float:
    """Of the least-squares classifier that was fitted to these very vectors."""
    design = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    weights = torch.linalg.lstsq(design, z, driver="gelsd").solution
    return float(((design @ weights > 0.5) == (z > 0.5)).double().mean())


@pytest.mark.parametrize("shrink", [False, True])
def test_a_linear_probe_learns_something_before_and_nothing_after(shrink: bool) -> None:
    x, z = data(2000, 10, 1)
    after = leace(CentredMoments.of(x, z), shrink=shrink)(x)
    constant = max(float(z.mean()), 1 - float(z.mean()))
    assert accuracy(x, z) > constant + 0.1
    assert accuracy(after, z) == pytest.approx(constant)
    # Equal means of both classes, which is what guardedness amounts to.
    apart = after[z[:, 0] == 1].mean(0) - after[z[:, 0] == 0].mean(0)
    torch.testing.assert_close(apart, torch.zeros_like(apart), rtol=0, atol=1e-10)


def test_it_is_idempotent_keeps_the_mean_and_has_the_rank_of_the_labels() -> None:
    x, z = data(500, 9, 2)
    erasure = leace(CentredMoments.of(x, z))
    once = erasure(x)
    torch.testing.assert_close(erasure(once), once, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(once.mean(0), x.mean(0), rtol=1e-10, atol=1e-10)
    assert tuple(erasure.left.shape) == (9, 2)
    assert torch.linalg.matrix_rank(x - once) == 2


def test_with_the_true_covariance_it_changes_least() -> None:
    """Least in mean square among the maps that erase; the orthogonal projection is another."""
    x, z = data(800, 8, 1)
    moments = CentredMoments.of(x, z)
    u = moments.xz / moments.xz.norm()
    orthogonal = x - (x - moments.mean_x) @ u @ u.mT
    ours = leace(moments, shrink=False)(x)
    assert (ours - x).square().sum() < 0.9 * (orthogonal - x).square().sum()
    shrunk = leace(moments)(x)
    assert (ours - x).square().sum() <= (shrunk - x).square().sum()


def test_moments_of_parts_add_up() -> None:
    x, z = data(90, 6, 2)
    whole = CentredMoments.of(x, z)
    parts = (
        CentredMoments.of(x[:1], z[:1])
        + CentredMoments.of(x[1:50], z[1:50])
        + CentredMoments.of(x[50:], z[50:])
    )
    assert parts.n == whole.n
    for name in ("mean_x", "mean_z", "xx", "xz"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


def test_labels_that_tell_nothing_erase_nothing() -> None:
    x, _ = data(50, 5, 1)
    erasure = leace(CentredMoments.of(x, torch.ones(50, 1)))
    assert torch.equal(erasure(x), x)


def test_shapes_that_do_not_fit_are_refused() -> None:
    for x, z in ((torch.ones(3), torch.ones(3, 1)), (torch.ones(3, 2), torch.ones(2, 1))):
        with pytest.raises(UserError, match=r"x \(n, d\)"):
            CentredMoments.of(x, z)
    with pytest.raises(UserError, match="n >= 1"):
        CentredMoments.of(torch.ones(0, 2), torch.ones(0, 1))
