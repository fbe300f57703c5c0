from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from excise.primitives import simplex
from excise.rng import generator


def sorted_projection(points: Tensor) -> Tensor:
    """Exact, by sorting: Duchi et al. 2008, figure 1."""
    rows = points.reshape(-1, points.shape[-1]).double()
    found = []
    for row in rows:
        down = row.sort(descending=True).values
        total = down.cumsum(0) - 1
        count = torch.arange(1, len(row) + 1)
        last = int((down - total / count > 0).nonzero().max())
        found.append((row - total[last] / (last + 1)).clamp_min(0))
    return torch.stack(found).view(points.shape).to(points.dtype)


@settings(max_examples=50, deadline=None)
@given(
    words=st.integers(1, 200), seed=st.integers(0, 2**20), scale=st.sampled_from([1e-3, 0.3, 5.0])
)
def test_the_projection_is_the_exact_one(words: int, seed: int, scale: float) -> None:
    points = scale * torch.randn(2, 3, words, generator=generator("points", seed))
    points[0, 0] = points[0, 0, 0]  # all equal
    found = simplex.project(points)
    torch.testing.assert_close(found, sorted_projection(points), atol=2e-6, rtol=1e-5)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(simplex.project(found), found, atol=2e-6, rtol=1e-5)


def test_the_projection_of_corners_and_of_a_large_vocabulary() -> None:
    corner = torch.tensor([0.0, 1.0, 0.0])
    assert torch.equal(simplex.project(corner), corner)
    assert simplex.project(torch.tensor([9.0, -3.0, 2.0])).tolist() == [1, 0, 0]
    large = torch.rand(1, 50_000, generator=generator("large"))
    torch.testing.assert_close(
        simplex.project(large), sorted_projection(large), atol=2e-6, rtol=1e-4
    )


def test_the_gradient_is_that_of_the_soft_embedding() -> None:
    table = torch.randn(11, 4, generator=generator("table"))
    weight = torch.randn(2, 3, 4, generator=generator("weight")) / 10
    points = torch.rand(2, 3, 11, generator=generator("p")).softmax(-1)
    words = torch.randint(11, (2, 3), generator=generator("words"))
    hard, soft = points.clone().requires_grad_(), points.clone().requires_grad_()
    read = simplex.straight_through(hard, words) @ table
    assert torch.equal(read, table[words])  # what is read is the word itself, to the last bit
    (read * weight).sum().backward()
    ((soft @ table) * weight).sum().backward()
    assert hard.grad is not None
    assert soft.grad is not None
    torch.testing.assert_close(hard.grad, soft.grad)
    # In a loss that is not linear, what counts is the slope at the words that were read.
    hard.grad = None
    (simplex.straight_through(hard, words) @ table).pow(3).sum().backward()
    slope = 3 * table[words].square() @ table.T
    torch.testing.assert_close(hard.grad, slope.clamp(-1, 1))
    assert slope.abs().max() > 1


def test_a_row_draws_its_own_words_by_its_own_point() -> None:
    points = torch.tensor([[[0.7, 0.3, 0.0]], [[0.0, 0.0, 1.0]]])

    def draw(step: int, rows: tuple[int, ...]) -> Tensor:
        own = [generator("draw", row, step) for row in rows]
        return simplex.sampled(points[list(rows)], own)

    drawn = torch.stack([draw(step, (0, 1)) for step in range(400)])  # (400, 2, 1)
    assert float((drawn[:, 0] == 0).float().mean()) == pytest.approx(0.7, abs=0.07)
    assert (drawn[:, 0] < 2).all()
    assert (drawn[:, 1] == 2).all()
    alone = torch.stack([draw(step, (0,)) for step in range(400)])
    assert torch.equal(alone[:, 0], drawn[:, 0])
