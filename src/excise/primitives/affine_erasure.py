"""The affine map that makes labels linearly unpredictable and changes as little as possible.

Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form" (arXiv:2306.03819).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from excise.errors import UserError

_RANK = 1e-8  # singular values below this part of the largest are rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class CentredMoments:
    """Moments about the mean of vectors x (d,) and labels z (k,), gathered batch by batch.

    Those about zero, which the closed forms add up, are in `excise.primitives.moments`.

    All in float64, on the CPU. xx: sum of (x - mean)(x - mean)^T. xz: the same of x and z. Memory
    in O(d^2), whatever n.
    """

    n: int
    mean_x: Tensor
    mean_z: Tensor
    xx: Tensor
    xz: Tensor

    @staticmethod
    def of(x: Tensor, z: Tensor) -> CentredMoments:
        """Of one batch, x (n, d) and z (n, k) with n >= 1."""
        if x.dim() != 2 or z.dim() != 2 or len(x) != len(z) or not len(x):
            raise UserError(
                f"expected x (n, d) and z (n, k) with one n >= 1, got {tuple(x.shape)} and "
                f"{tuple(z.shape)}"
            )
        x, z = x.detach().cpu().double(), z.detach().cpu().double()
        mean_x, mean_z = x.mean(0), z.mean(0)
        dx, dz = x - mean_x, z - mean_z
        return CentredMoments(n=len(x), mean_x=mean_x, mean_z=mean_z, xx=dx.mT @ dx, xz=dx.mT @ dz)

    def __add__(self, other: CentredMoments) -> CentredMoments:
        """Of both (Chan et al. 1979, "Updating Formulae ... for Computing Sample Variances")."""
        n = self.n + other.n
        dx, dz = other.mean_x - self.mean_x, other.mean_z - self.mean_z
        share, weight = other.n / n, self.n * other.n / n
        return CentredMoments(
            n=n,
            mean_x=self.mean_x + share * dx,
            mean_z=self.mean_z + share * dz,
            xx=self.xx + other.xx + weight * torch.outer(dx, dx),
            xz=self.xz + other.xz + weight * torch.outer(dx, dz),
        )

    def covariance(self, shrink: bool = True) -> Tensor:
        """Of x, (d, d); ``shrink`` mixes it with the identity as far as its own noise demands.

        alpha S + beta I, with the alpha and beta of Bodnar et al. 2014 (arXiv:1308.2608, eq. 3.2)
        for a target of I. Without it, directions that few vectors differ in count as free.
        """
        sample = (self.xx + self.xx.mT) / (2 * self.n)
        if not shrink:
            return sample
        d = len(sample)
        trace, square = sample.trace(), sample.square().sum()
        spread = d * square - trace.square()  # >= 0, and 0 for a multiple of I
        alpha = (1 - trace.square() * d / self.n / spread).clamp(0, 1) if spread > 0 else 0.0
        identity = torch.eye(d, dtype=sample.dtype)
        return alpha * sample + (1 - alpha) * trace / d * identity


@dataclass(frozen=True, eq=False, kw_only=True)
class Erasure:
    """x - left right (x - mean): mean (d,), left (d, k), right (k, d), in float64."""

    mean: Tensor
    left: Tensor
    right: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Of x (..., d), in float64."""
        x = x.double()
        return x - (x - self.mean) @ self.right.mT @ self.left.mT


def leace(moments: CentredMoments, *, shrink: bool = True) -> Erasure:
    """The erasure of section 4: P = I - W^+ U U^T W, W = (cov x)^(-1/2), U spanning W cov(x, z).

    The labels cannot be predicted linearly from what is left of the x's that were seen: cov(P x, z)
    is zero whatever covariance is put in W; the true one makes the change the smallest. The rank is
    that of cov(x, z), at most k.
    """
    values, vectors = torch.linalg.eigh(moments.covariance(shrink))  # (d,), (d, d)
    real = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    root = torch.where(real, values, 0.0).sqrt()
    whiten = vectors * torch.where(real, 1 / root, 0.0) @ vectors.mT  # W
    colour = vectors * root @ vectors.mT  # W^+
    u, s, _ = torch.linalg.svd(whiten @ moments.xz / moments.n, full_matrices=False)
    u = u[:, (s > _RANK * s[0]) & (s > 0)]  # (d, k) -> (d, rank)
    return Erasure(mean=moments.mean_x, left=colour @ u, right=u.mT @ whiten)
