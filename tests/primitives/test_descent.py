from __future__ import annotations

import pytest
import torch

from excise.errors import NumericalError
from excise.primitives.descent import Descent


def test_rows_go_down_by_themselves_whoever_takes_part() -> None:
    start = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    whole, part = (Descent({"x": start}, {"x": 0.1}, steps=3) for _ in range(2))
    for _ in range(3):
        whole.step([(slice(0, 3), whole.values["x"].square().sum(1))])
        part.step([([2, 0], part.values["x"][[2, 0]].square().sum(1))])
    assert torch.equal(part.values["x"][[0, 2]], whole.values["x"][[0, 2]])
    assert torch.equal(part.values["x"][1], start[1])
    assert torch.equal(part.curves[[0, 2]], whole.curves[[0, 2]])
    assert (part.curves[1] == 0).all()


def test_decay_is_added_to_the_gradient_or_kept_apart_from_it() -> None:
    start = torch.tensor([[1.0, 8.0]])

    def end(decoupled: bool) -> torch.Tensor:
        one = Descent({"x": start}, {"x": 0.1}, steps=1, decay=0.5, decoupled=decoupled)
        one.step([(slice(0, 1), 0 * one.values["x"].sum(1))])
        return one.values["x"].detach()

    # Adam scales a gradient that is decay alone to one rate, whatever its size.
    torch.testing.assert_close(end(False), start - 0.1)
    torch.testing.assert_close(end(True), start * (1 - 0.1 * 0.5))


def test_the_row_that_is_not_finite_is_named() -> None:
    one = Descent({"x": torch.ones(4, 1)}, {"x": 0.1}, steps=1)
    with pytest.raises(NumericalError, match="row 3"):
        one.step([([1, 3], one.values["x"][[1, 3], 0] * torch.tensor([1.0, torch.nan]))])
