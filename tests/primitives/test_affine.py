from __future__ import annotations

import pytest
import torch
from torch import Tensor

from excise.errors import UserError
from excise.primitives.affine import leace
from excise.primitives.closed_form import removal
from excise.rng import generator

N, D = 400, 9


def data() -> tuple[Tensor, Tensor]:
    """Vectors with unequal axes and a mean, and two labels that they tell of."""
    draw = generator("affine")
    z = torch.randint(0, 2, (N, 2), generator=draw).double()
    mixing = torch.randn(D, D, generator=draw, dtype=torch.float64)
    told = torch.randn(2, D, generator=draw, dtype=torch.float64)
    x = 3 + torch.randn(N, D, generator=draw, dtype=torch.float64) @ mixing + 2 * z @ told
    return x, z


def told(x: Tensor, z: Tensor) -> float:
    """Share of the labels' variance that the best linear probe explains."""
    x, z = x - x.mean(0), z - z.mean(0)
    fit = x @ torch.linalg.pinv(x, rtol=1e-8) @ z
    return float(fit.square().sum() / z.square().sum())


def test_a_probe_finds_something_before_and_nothing_after() -> None:
    x, z = data()
    after = leace([(x[:100], z[:100]), (x[100:], z[100:])], D).of_rows(x)
    assert told(x, z) > 0.2
    cross = (after - after.mean(0)).T @ (z - z.mean(0)) / N
    assert cross.abs().max() < 1e-10
    assert torch.allclose(after.mean(0), x.mean(0))


def test_it_moves_vectors_less_than_the_orthogonal_projection_and_only_once() -> None:
    x, z = data()
    eraser = leace([(x, z)], D)
    after = eraser.of_rows(x)
    assert eraser.update.left.shape == (D, 2)
    cross = (x - x.mean(0)).T @ (z - z.mean(0))
    centred = x - x.mean(0)
    projected = x.mean(0) + removal(torch.linalg.qr(cross).Q).of_rows(centred)
    assert told(projected, z) < 1e-10
    assert (after - x).norm() < 0.99 * (projected - x).norm()
    assert torch.allclose(eraser.of_rows(after), after, atol=1e-10)


def test_vectors_in_a_subspace_stay_in_it() -> None:
    x, z = data()
    flat = torch.cat([x[:, :5], x[:, :3]], dim=1)  # three axes have no variance
    after = leace([(flat, z)], 8).of_rows(flat)
    assert torch.allclose(after[:, 5:], after[:, :3], atol=1e-8)
    assert (after.T @ (z - z.mean(0)) / N).abs().max() < 1e-8


def test_a_weight_with_a_bias_takes_it_up() -> None:
    x, z = data()
    eraser = leace([(x, z)], D)
    weight = torch.randn(4, D, generator=generator("w"))
    bias = torch.ones(4)
    edited = weight + eraser.update.on({"w": weight})["w"].dense()
    found = x.float() @ edited.T + bias + eraser.shift(weight)
    assert torch.allclose(found, eraser.of_rows(x).float() @ weight.T + bias, atol=1e-4)


def test_labels_that_tell_nothing_change_nothing() -> None:
    x, z = data()
    for label in (0 * z, 0 * z + 0.3):
        assert torch.allclose(leace([(x, label)], D).of_rows(x), x, atol=1e-12)
    tiny = leace([(x, 1e-9 * z)], D)  # in whatever unit a label is
    assert torch.allclose(tiny.of_rows(x), leace([(x, z)], D).of_rows(x), atol=1e-6)
    with pytest.raises(UserError, match="vectors to fit an erasure on"):
        leace([(x[:0], z[:0])], D)
