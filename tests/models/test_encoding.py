from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.models.encoding import Encoding
from excise.models.load import of_pipeline
from excise.types import Condition, Prompt


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def encoding(model: Any, seen: list[int], **limits: int) -> Encoding:
    """The model's own, with its runs counted."""
    whole = model.encoding

    def combine(cuts: Any, injections: Any) -> Any:
        found = whole._combine(cuts, injections)
        seen.append(len(next(iter(found.values()))))
        return found

    return Encoding(whole.encoders, combine, **limits)


def batch(number: int) -> tuple[Prompt, ...]:
    return Prompt.of([f"a cat {number} {i}" for i in range(8)])


def held(found: Encoding) -> int:
    rows: list[Condition] = list(found._memory.values())
    return sum(tensor.nbytes for row in rows for tensor in row.tensors.values())


@torch.no_grad()
def test_what_was_encoded_is_remembered_up_to_so_many_bytes(model: Any) -> None:
    seen: list[int] = []
    one = model.encode(batch(0)).hidden.nbytes
    found = encoding(model, seen, most=3 * one)
    for number in range(10):
        found.encode(batch(number), ())
        assert held(found) <= 3 * one
    assert len(seen) == 10
    last = found.encode(batch(9), ())  # the last three are there, the first is not
    found.encode(batch(7), ())
    assert len(seen) == 10
    found.encode(batch(0), ())
    assert len(seen) == 11
    assert torch.equal(last.hidden, model.encode(batch(9)).hidden)


@torch.no_grad()
def test_a_batch_that_is_too_large_is_still_encoded_once_in_a_row(model: Any) -> None:
    seen: list[int] = []
    found = encoding(model, seen, most=1)
    found.encode(batch(0), ())
    found.encode(batch(0), ())
    assert len(seen) == 1
    found.encode(batch(1), ())
    assert len(found._memory) == 1
