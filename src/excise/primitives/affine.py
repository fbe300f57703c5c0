"""Affine erasure: the least change of vectors after which no linear probe finds a label in them.

Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form" (arXiv:2306.03819). It
fits weights with a bias, which takes up the constant part; keys and values of cross-attention have
none, and can take an orthogonal projection (`closed_form.removal`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from excise.errors import UserError
from excise.primitives.closed_form import TINY, Update
from excise.primitives.moments import Moments

LEAST = 1e-6
"""A correlation with a label, or the spread of one against its size, below which it is rounding."""


@dataclass(frozen=True, eq=False)
class Affine:
    """What is read in the place of x: ``x + T (x - centre)``.

    update: T. centre: (d,), the mean of what it was fitted on, in float64.
    """

    update: Update
    centre: Tensor

    def of_rows(self, rows: Tensor) -> Tensor:
        """What rows (n, d) are read as, in float64."""
        return self.centre + self.update.of_rows(rows.double() - self.centre)

    def shift(self, weight: Tensor) -> Tensor:
        """What a weight's bias (o,) gains, beside ``update.on`` for the weight: ``-W T centre``."""
        read = weight.detach()[:, : self.update.width].double().cpu()
        return (-read @ (self.update.left @ (self.update.right @ self.centre))).float()


def leace(batches: Iterable[tuple[Tensor, Tensor]], width: int) -> Affine:
    """Least-squares concept erasure, from vectors x (n, width) with labels z (n, k), in batches.

    ``r(x) = x - W^+ P W (x - E x)`` with the whitening W = (cov(x)^1/2)^+ and P the orthogonal
    projection on the columns of W cov(x, z) (theorem 4.3): cov(r(x), z) is zero, and no other
    affine map that does so moves x less, in any norm that comes from an inner product. Memory is
    O((d + k)^2), however many vectors there are.

    Raises:
        UserError: no vectors.
    """
    found = Moments.of(torch.cat([x.double(), z.double(), _ones(x)], 1) for x, z in batches)
    if found.count == 0:
        raise UserError("expected vectors to fit an erasure on, got none")
    centre = found.mean[:-1, -1]  # of x and z
    both = found.mean[:-1, :-1] - torch.outer(centre, centre)
    spread = both.diagonal()[width:].clamp(min=0).sqrt()  # of the labels
    told = spread > LEAST * found.mean.diagonal()[width:-1].sqrt()
    cross = both[:width, width:][:, told] / spread[told]  # (d, k)
    values, vectors = torch.linalg.eigh(both[:width, :width])
    alive = values > TINY * values[-1]
    size, axes = values[alive].sqrt(), vectors[:, alive]  # (r,), (d, r)
    u, s, _ = torch.linalg.svd(axes.T @ cross / size[:, None], full_matrices=False)  # W cov(x, z)
    kept = u[:, s > LEAST]
    left, right = -axes @ (size[:, None] * kept), (kept / size[:, None]).T @ axes.T
    return Affine(Update.of(left, right), centre[:width])


def _ones(x: Tensor) -> Tensor:
    return torch.ones(len(x), 1, dtype=torch.float64, device=x.device)
