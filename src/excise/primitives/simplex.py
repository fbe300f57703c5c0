"""Points on the vocabulary simplex: onto it, a word at random from it, and gradients through that.

The relaxation of UnlearnDiffAtk (Zhang et al. 2023, arXiv:2310.11868), which has it from TextGrad
(Hou et al. 2022, arXiv:2212.09254).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 30  # halvings of an interval of length 1: float32 can tell no more


def project(points: Tensor) -> Tensor:
    """The nearest points (..., W) of the simplex: clip(x - mu, 0, 1), of sum 1, for one mu a point.

    mu is found by bisection, since the sum falls as mu grows. What is above it is then known, and
    gives mu to the last bit.
    """
    points = points - points.amax(dim=-1, keepdim=True)  # the same answer, and less rounding
    high = points.new_zeros((*points.shape[:-1], 1))  # where the sum is 0
    low = high - 1  # where it is 1 or more
    for _ in range(STEPS):
        mu = (low + high) / 2
        enough = (points - mu).clamp_min(0).sum(dim=-1, keepdim=True) >= 1
        low, high = torch.where(enough, mu, low), torch.where(enough, high, mu)
    kept = points > low
    total = torch.where(kept, points, 0).sum(dim=-1, keepdim=True)
    mu = (total - 1) / kept.sum(dim=-1, keepdim=True)
    return (points - mu).clamp(0, 1)


def sampled(points: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """One word for each place, int64 (n, k), with the probabilities (n, k, W) of its point.

    generators: one a row, on the CPU.
    """
    rows = [torch.multinomial(row.detach().float().cpu(), 1, generator=own)[:, 0]
            for row, own in zip(points, generators, strict=True)]  # fmt: skip
    return torch.stack(rows).to(points.device)


def straight_through(points: Tensor, words: Tensor, clip: float = 1.0) -> Tensor:
    """The words as one-hot (n, k, W), with the gradients of the points.

    The gradient passes as if the points themselves had been read (Bengio et al. 2013,
    arXiv:1308.3432), each of its components cut off at ``clip``, as the authors' code does.
    """
    free = points * 1
    if free.requires_grad:
        free.register_hook(lambda gradient: gradient.clamp(-clip, clip))  # type: ignore[no-untyped-call]
    hard = F.one_hot(words, points.shape[-1]).to(points.dtype)
    return hard + (free - free.detach())  # the difference is exactly 0
