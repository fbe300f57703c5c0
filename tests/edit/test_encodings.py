from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.edit.fake import tensors
from torch import Tensor

from excise.edit import Dense, LowRank, Sparse
from excise.edit.encodings import Decoded, added, decode, own, smallest
from excise.errors import UserError
from excise.rng import generator

SHAPE = (6, 5, 2)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator("test", seed))


@given(tensors(SHAPE))
def test_the_smallest_encoding_gives_the_tensor_back(value: Tensor) -> None:
    kept = smallest(own(value))
    if kept is None:
        assert not value.any()
        return
    assert torch.equal(kept.dense(), value)
    assert kept.shape == SHAPE
    assert kept.nbytes <= value.nbytes
    assert isinstance(kept, Sparse) == (int(value.count_nonzero()) * 8 < value.nbytes)
    assert torch.equal(decode(kept.parts, SHAPE).dense(), value)


@given(tensors(SHAPE), tensors(SHAPE), st.floats(-3, 3))
def test_sums_and_multiples_are_those_of_the_dense_tensors(
    a: Tensor, b: Tensor, factor: float
) -> None:
    one, two = smallest(own(a)) or Dense(a), smallest(own(b)) or Dense(b)
    assert torch.equal(added(one, two).dense(), a + b)
    assert torch.equal(one.scaled(factor).dense(), a * factor)


def test_low_rank_is_the_product_of_its_factors() -> None:
    up, down = normal(8, 2), normal(2, 12, seed=1)
    assert torch.allclose(LowRank(up, down).dense(), up @ down, atol=1e-6)
    conv = LowRank(up, down, (8, 3, 2, 2))
    assert torch.equal(conv.dense(), LowRank(up, down).dense().reshape(8, 3, 2, 2))
    assert smallest(conv) is conv
    assert torch.allclose(conv.scaled(-0.5).dense(), -0.5 * conv.dense())
    assert decode(conv.parts, conv.shape).dense().equal(conv.dense())


def test_low_rank_that_is_not_low_becomes_dense_and_nothing_becomes_none() -> None:
    full = LowRank(normal(4, 3), normal(3, 4))
    kept = smallest(full)
    assert isinstance(kept, Dense)
    assert torch.equal(kept.dense(), full.dense())
    assert smallest(LowRank(torch.zeros(8, 1), normal(1, 8))) is None


def test_low_ranks_add_side_by_side_until_that_is_larger() -> None:
    a = LowRank(normal(32, 2), normal(2, 32, seed=1))
    total = added(a, a)
    assert isinstance(total, LowRank)
    assert torch.allclose(total.dense(), 2 * a.dense(), atol=1e-5)
    for _ in range(3):
        total = added(total, total)
    assert isinstance(total, Dense)
    assert torch.allclose(total.dense(), 16 * a.dense(), atol=1e-4)
    assert torch.allclose(added(a, Dense(a.dense())).dense(), 2 * a.dense(), atol=1e-5)


def test_what_is_no_delta_is_refused() -> None:
    with pytest.raises(UserError, match="expected a delta as a tensor, .* got list"):
        own([[0.0]])  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [normal(40), normal(4000) * (normal(4000, seed=1) > 2)])
def test_half_precision_halves_the_bytes_and_keeps_eleven_bits(value: Tensor) -> None:
    kept = smallest(own(0.01 * value))
    assert kept is not None
    half = kept.stored(torch.float16)
    assert half.dtype == torch.float16
    assert half.nbytes < kept.nbytes
    apart = (half.dense() - kept.dense()).abs()
    assert bool((apart <= kept.dense().abs() * 2**-11 + 2**-25).all())
    assert half.scaled(3).dtype == torch.float32


def test_a_delta_owns_its_values() -> None:
    value = torch.ones(3)
    for given_ in (value, Dense(value), Sparse(torch.tensor([0, 1, 2]), value, (3,))):
        kept = own(given_)
        value += 1
        assert torch.equal(kept.dense(), value - 1)
    dense = Dense(value)
    dense.dense().zero_()
    assert bool(dense.value.all())


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "expected"),
        ({"up": normal(2, 1)}, "expected"),
        ({"": normal(2, 3), "up": normal(2, 1)}, "expected"),
        ({"": normal(3, 2)}, "shape"),
        ({"": torch.zeros(2, 3, dtype=torch.int32)}, "float32"),
        ({"up": normal(2, 1), "down": normal(2, 3)}, "down"),
        ({"up": normal(2, 1), "down": normal(1, 4)}, "factors"),
        ({"index": torch.tensor([0, 6]), "value": normal(2)}, "0 .. 5"),
        ({"index": torch.tensor([-1, 2]), "value": normal(2)}, "0 .. 5"),
        ({"index": torch.tensor([2, 2]), "value": normal(2)}, "increasing"),
        ({"index": torch.tensor([1]), "value": normal(2)}, "indices"),
        ({"index": torch.tensor([0.0, 1.0]), "value": normal(2)}, "float32|indices"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(parts, (2, 3))


def test_dense_views_are_made_when_asked_for() -> None:
    view = Decoded({"a": Dense(torch.ones(2)), "b": LowRank(normal(2, 1), normal(1, 2))})
    assert list(view) == ["a", "b"]
    assert len(view) == 2
    assert view["b"].shape == (2, 2)
    assert view["b"] is not view["b"]


def test_what_deltas_share_is_copied_once_and_is_nobody_elses() -> None:
    down, copies = normal(2, 5), dict[int, Tensor]()
    one, two = (own(LowRank(normal(6, 2, seed=i), down), copies) for i in range(2))
    alone = own(LowRank(normal(6, 2), down))
    assert one.parts["down"] is two.parts["down"]
    assert alone.parts["down"] is not one.parts["down"]
    before = one.dense()
    down.zero_()
    assert torch.equal(one.dense(), before)
