from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from excise.errors import UserError
from excise.primitives.moments import Moments, Swapped, gathered, paired
from excise.rng import generator


def test_batches_sum_to_the_direct_moments() -> None:
    a = torch.randn(101, 7, generator=generator("a"), dtype=torch.float64)
    b = torch.randn(101, 5, generator=generator("b"), dtype=torch.float64)
    cuts = [a[:1], a[1:40], a[40:40], a[40:]]
    found = Moments.of(cuts)
    assert found.count == 101
    assert torch.allclose(found.total, a.T @ a, rtol=1e-13)
    assert torch.allclose(found.mean, a.T @ a / 101, rtol=1e-13)
    cross = Moments.between([(a[:50], b[:50]), (a[50:], b[50:])])
    assert torch.allclose(cross.total, a.T @ b, rtol=1e-13)
    both = Moments.of([a[:30]]) + Moments.of([a[30:]])
    assert (both.count, both.total.shape) == (101, (7, 7))
    assert torch.allclose(both.total, a.T @ a, rtol=1e-13)


def test_rows_in_half_precision_are_summed_in_double() -> None:
    rows = torch.full((4096, 1), 0.1, dtype=torch.float16)
    direct = float(rows.double().square().sum())
    assert float(Moments.of(rows.split(64)).total) == pytest.approx(direct, rel=1e-14)


def test_batches_are_read_one_at_a_time_and_never_written_to() -> None:
    alive: list[int] = []
    first = torch.ones(3, 2, dtype=torch.float64)

    def batches() -> object:
        for i in range(4):
            alive.append(i)
            yield first

    assert Moments.of(batches()).total.tolist() == [[12.0, 12.0], [12.0, 12.0]]  # type: ignore[arg-type]
    assert alive == [0, 1, 2, 3]
    assert first.tolist() == [[1.0, 1.0]] * 3
    assert Moments(torch.zeros(2, 2), 0).mean.tolist() == [[0.0, 0.0]] * 2
    with pytest.raises(UserError, match="at least one batch"):
        Moments.of([])


@pytest.mark.parametrize("sizes", [(3, 2), (3, 3, 1), (7,), (9, 1, 5, 8, 2), (0, 4), (3, 4, 0)])
def test_few_rows_stay_rows_and_many_become_moments(sizes: tuple[int, ...]) -> None:
    width, total = 7, sum(sizes)
    rows = torch.randn(total, width, generator=generator("g"), dtype=torch.float64)
    found = gathered(rows.split(list(sizes)))
    if total < width:
        assert isinstance(found, torch.Tensor)
        assert torch.equal(found, rows)
    else:
        assert isinstance(found, Moments)
        assert found.count == total
        assert torch.allclose(found.total, rows.T @ rows, rtol=1e-12)


@pytest.mark.parametrize("sizes", [(3, 2), (3, 3, 1), (9, 1, 5, 8, 2), (0, 4)])
def test_few_pairs_stay_pairs_and_of_many_the_moments_stay(sizes: tuple[int, ...]) -> None:
    width, total = 7, sum(sizes)
    c, g = torch.randn(2, total, width, generator=generator("p"), dtype=torch.float64)
    found = paired(zip(c.split(list(sizes)), g.split(list(sizes)), strict=True))
    if total < width:
        assert isinstance(found, tuple)
        assert torch.equal(found[0], c)
        assert torch.equal(found[1], g)
    else:
        assert isinstance(found, Swapped)
        assert found.second.count == found.away.count == total
        assert torch.allclose(found.second.total, c.T @ c, rtol=1e-12)
        assert torch.allclose(found.away.total, (g - c).T @ c, rtol=1e-12)


@pytest.mark.parametrize("collect", [gathered, paired])
def test_few_rows_are_there_at_once_however_many_come(collect: Any) -> None:
    width, size = 11, 5
    there: list[StorageWeakRef] = []

    def batches() -> Iterator[Any]:
        for i in range(60):
            rows = torch.full((size, width), float(i), dtype=torch.float64)
            there.append(StorageWeakRef(rows.untyped_storage()))
            assert sum(not ref.expired() for ref in there) * size <= width + 2 * size
            yield rows if collect is gathered else (rows, torch.ones(size, width))
            del rows

    assert not isinstance(collect(batches()), torch.Tensor | tuple)


def test_no_batch_is_no_rows() -> None:
    with pytest.raises(UserError, match="at least one batch"):
        paired([])
    with pytest.raises(UserError, match="at least one batch"):
        gathered([])
