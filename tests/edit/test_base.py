from __future__ import annotations

import pytest
import torch
from tests.edit import fake
from torch import Tensor

from excise.edit import Base, BaseMatch, BaseTensor, Edit
from excise.edit import base as home
from excise.edit.base import checksum, positions
from excise.errors import NumericalError, WrongBase
from excise.rng import generator

HALVES = (torch.float16, torch.bfloat16)


def weights(n: int = 4000, seed: int = 0) -> Tensor:
    return 0.02 * torch.randn((n // 10, 10), generator=generator("test", seed))


def sparse(value: Tensor) -> Tensor:
    """The same but for one value that is not sampled."""
    found = value.clone().reshape(-1)
    spot = next(i for i in range(len(found)) if i not in positions(len(found)))
    found[spot] += 1
    return found.reshape(value.shape)


def test_the_same_values_are_exact_in_whatever_type_holds_them() -> None:
    value = weights()
    assert BaseTensor.of(value).match(value.clone()) is BaseMatch.EXACT
    assert BaseTensor.of(value).match(value.double()) is BaseMatch.EXACT
    for half in HALVES:
        assert BaseTensor.of(value.to(half)).match(value.to(half).float()) is BaseMatch.EXACT


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("then", [*HALVES, torch.float32])
@pytest.mark.parametrize("first", [*HALVES, torch.float32])
def test_the_same_base_in_another_precision_is_known(
    first: torch.dtype, then: torch.dtype, seed: int
) -> None:
    value = weights(seed=seed)
    found = BaseTensor.of(value.to(first)).match(value.to(then))
    assert found is (BaseMatch.EXACT if first == then else BaseMatch.PRECISION)
    as_full = value.to(then).float()  # a file in half precision, loaded as float32
    assert BaseTensor.of(value.to(first)).match(as_full) is found


@pytest.mark.parametrize("first", [*HALVES, torch.float32])
@pytest.mark.parametrize("then", [*HALVES, torch.float32])
def test_another_model_is_not(first: torch.dtype, then: torch.dtype) -> None:
    record = BaseTensor.of(weights().to(first))
    assert record.match(weights(seed=1).to(then)) is None
    assert record.match((weights() * 1.05).to(then)) is None


@pytest.mark.parametrize("kind", [*HALVES, torch.float32])
def test_one_value_that_changed_is_seen_where_no_precision_was_lost(kind: torch.dtype) -> None:
    value = weights().to(kind)
    assert BaseTensor.of(value).match(sparse(value)) is None
    assert BaseTensor.of(sparse(value)).match(value) is None


def test_a_slight_fine_tune_is_not_taken_for_a_rounding() -> None:
    value = weights()
    assert BaseTensor.of(value).match(value + 1e-6) is None  # far below bfloat16's steps


def test_rounding_does_not_hide_a_change_that_can_be_hashed() -> None:
    half = weights().to(torch.float16)
    assert BaseTensor.of(half).match(weights()) is BaseMatch.PRECISION
    assert BaseTensor.of(half).match(sparse(weights())) is None


@pytest.mark.parametrize("value", [torch.ones(9), torch.zeros(3, 4), torch.tensor(2.5)])
def test_constants_and_scalars(value: Tensor) -> None:
    assert BaseTensor.of(value).match(value.to(torch.bfloat16)) is BaseMatch.EXACT
    assert BaseTensor.of(value).match(value + 1) is None


def test_records_are_json_and_must_be_finite() -> None:
    record = BaseTensor.of(weights())
    assert BaseTensor.from_json(record.to_json()) == record
    with pytest.raises(NumericalError, match="finite"):
        BaseTensor.of(torch.tensor([1.0, float("nan")]))


def test_positions_are_spread_and_inside() -> None:
    for n in (0, 1, 7, 8, 9, 100, 320 * 768, 2**31 + 5):
        found = positions(n)
        assert len(set(found)) == min(n, home.SAMPLES)
        assert all(0 <= i < n for i in found)


@pytest.mark.parametrize("kind", [*HALVES, torch.float32])
def test_the_checksum_sees_each_value(kind: torch.dtype) -> None:
    for n in (1, 3, 8, 13):
        value = torch.randn(n, generator=generator("sum", n)).to(kind)
        for i in range(n):
            other = value.clone()
            other[i] += 1
            assert checksum(other) != checksum(value)
        longer = torch.cat([value, value])
        assert checksum(longer[n:]) == checksum(value)  # wherever it lies


def test_what_was_hashed_once_is_not_hashed_again_unless_it_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = fake.model()
    edit = Edit.of(
        model, {n: torch.ones_like(w) for n, w in model.weights.items()}, recipe=fake.MADE
    )
    hashed = []
    real = home.sha256
    monkeypatch.setattr(home, "sha256", lambda value: hashed.append(1) or real(value))
    for _ in range(3):
        with edit.applied(model):
            pass
    assert len(hashed) == len(model.weights)
    with torch.no_grad():
        model.weights["unet.conv.weight"].reshape(-1)[5] += 1e-3
    with pytest.raises(WrongBase, match="1 of 4"):
        edit.check(model)


def test_bases_that_agree_can_be_merged() -> None:
    a, b = BaseTensor.of(weights()), BaseTensor.of(weights(seed=1))
    both = Base(name="m", tensors={"x": a}).merged(Base(family="f", tensors={"x": a, "y": b}))
    assert (both.name, both.family, set(both.tensors)) == ("m", "f", {"x", "y"})
    with pytest.raises(WrongBase, match="x differs"):
        Base(tensors={"x": a}).merged(Base(tensors={"x": b}))
    with pytest.raises(WrongBase, match="families"):
        Base(family="sd3").merged(Base(family="sdxl"))
