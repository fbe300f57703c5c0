"""LIN: closed forms on weights that read text, as one change of what they read.

In the normal equations of every method here the weight stands on the left: ``W' = W (I + T)``, and
T depends on the text embeddings alone. It is solved for once, in float64, whatever the number of
weights that read these embeddings, and its rank is that of the embeddings: a delta is ``W L`` and
``R``, two thin factors. Embeddings are rows here, (n, d), where the papers have columns.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor

from excise.edit import Dense, Encoded, LowRank
from excise.errors import NumericalError
from excise.primitives.moments import Moments, Swapped, eye_like

TINY = 1e-10
"""Against the length of a vector: what counts as nothing of it."""


@dataclass(frozen=True, eq=False)
class Update:
    """What weights read in the place of x: ``x + left @ right @ x``, that is ``W' = W (I + T)``.

    left: (d, r). right: (r, d), its rows orthonormal, so that no digits are lost between the two.
    Both in float64. `Update.of` makes one of any factors.
    """

    left: Tensor
    right: Tensor

    @staticmethod
    def of(left: Tensor, right: Tensor) -> Update:
        """From any factors (d, n) and (n, d) of T; the rank is n, or d where n is larger."""
        q, upper = torch.linalg.qr(right.double().T)  # (d, r), (r, n)
        return Update(left.double() @ upper.T, q.T.contiguous())

    @staticmethod
    def none(width: int) -> Update:
        """The one that changes nothing."""
        zero = torch.zeros(0, width, dtype=torch.float64)
        return Update(zero.T, zero)

    @property
    def width(self) -> int:
        """How long the vectors are: d."""
        return len(self.left)

    def dense(self) -> Tensor:
        """T, (d, d)."""
        return self.left @ self.right

    def of_rows(self, rows: Tensor) -> Tensor:
        """What rows (n, d) are read as, in float64."""
        return rows.double() + rows.double() @ self.right.T @ self.left.T

    def then(self, other: Update) -> Update:
        """Both, ``other`` found on the weights that this one has changed: (I + T) (I + T')."""
        moved = other.left + self.left @ (self.right @ other.left)
        return Update.of(torch.cat([self.left, moved], dim=1), torch.cat([self.right, other.right]))

    def outside(self, basis: Tensor) -> Update:
        """Confined to the null space of what is kept: it reads nothing along ``basis`` (d, k).

        Whatever lies in the span of the basis, which is orthonormal, is read as before.
        """
        return Update.of(self.left, self.right - (self.right @ basis) @ basis.T)

    def on(self, weights: Mapping[str, Tensor]) -> dict[str, Encoded]:
        """The deltas ``W T`` of weights (o, i), on the CPU: factors, or dense if that is smaller.

        A weight that is wider than d reads in its first d columns.
        """
        found: dict[str, Encoded] = {}
        ready: dict[Hashable, tuple[Tensor, Tensor]] = {}  # many weights are of one kind
        for name, weight in weights.items():
            outer, inner = weight.shape
            read = weight.detach()[:, : self.width]  # (o, d)
            read = read.to(torch.promote_types(weight.dtype, torch.float32))
            kind = (read.dtype, read.device, inner)
            if kind not in ready:
                pad = F.pad(self.right.to(read), (0, inner - self.width))  # (r, i)
                ready[kind] = self.left.T.to(read).contiguous(), pad
            left, down = ready[kind]
            # In this order the thin factor is contiguous, which matters to a thin product.
            up = (left @ read.T).T.contiguous()  # (r, d) x (d, o) -> (o, r)
            if len(down) * (outer + inner) < outer * inner:
                found[name] = LowRank(up.float().cpu(), down.float().cpu())
            else:
                found[name] = Dense((up @ down).float().cpu())
        return found


def remap(
    sources: Tensor,
    targets: Tensor,
    kept: Tensor | Moments | None = None,
    *,
    erase: float = 1.0,
    preserve: float = 1.0,
    ridge: float,
) -> Update:
    """Ridge-regularised least squares: read each source as its target, and what is kept as it is.

    The T of least ``erase sum |W'c - Wg|^2 + preserve sum |W'k - Wk|^2 + ridge |W' - W|^2``, over
    sources c, targets g (n, d) and kept k (m, d, or their moments). Its normal equations, with
    S = ridge I + erase sum c c^T + preserve sum k k^T, say T = erase sum (g - c) c^T S^-1.

    Solved through the k = n + m rows if they are given and fewer than d, through S otherwise.

    Raises:
        NumericalError: S is singular, which takes ``ridge`` 0.
    """
    c, g = sources.double(), targets.double()
    n, d = c.shape
    rows = math.sqrt(erase) * c
    if isinstance(kept, Tensor):
        rows = torch.cat([rows, math.sqrt(preserve) * kept.double()])
    if len(rows) < d and not isinstance(kept, Moments):
        # S^-1 X^T = X^T (ridge I + X X^T)^-1 for X = rows: a system of n + m unknowns.
        gram = rows @ rows.T
        gram = gram + ridge * eye_like(gram)
        right = math.sqrt(erase) * _solve(gram, eye_like(gram)[:, :n]).T @ rows  # (n, k) x (k, d)
    else:
        second = rows.T @ rows
        if isinstance(kept, Moments):
            second = second + preserve * kept.total
        right = erase * _solve(ridge * eye_like(second) + second, c.T).T  # (n, d)
    return Update.of((g - c).T, right)


def mapped(cross: Tensor, second: Tensor, *, ridge: float) -> Update:
    """`remap` from moments alone: any number of prompts in memory of O(d^2).

    cross: the weighted sum of ``(g - c) c^T``. second: that of ``c c^T`` over all that is erased
    and kept. Both (d, d).
    """
    solved = _solve(ridge * eye_like(second.double()) + second.double(), cross.double().T)
    return Update.of(solved.T, eye_like(second.double()))


def fitted(
    swaps: tuple[Tensor, Tensor] | Swapped,
    kept: Tensor | Moments | None = None,
    *,
    erase: float = 1.0,
    preserve: float = 1.0,
    ridge: float,
) -> Update:
    """`remap` of what `paired` and `gathered` keep: through rows while few, else through moments.

    swaps: sources and targets (n, d) each, or their moments. The rest as in `remap`.

    Raises:
        NumericalError: as `remap`.
    """
    if not isinstance(swaps, Swapped):
        return remap(*swaps, kept, erase=erase, preserve=preserve, ridge=ridge)
    second = erase * swaps.second.total
    if kept is not None:
        own = kept if isinstance(kept, Moments) else Moments.of([kept])
        second = second + preserve * own.total
    return mapped(erase * swaps.away.total, second, ridge=ridge)


def constrained(
    sources: Tensor,
    targets: Tensor,
    basis: Tensor,
    invariants: Tensor | None = None,
    *,
    ridge: float = 1.0,
    slack: float = 0.0,
) -> Update:
    """Least squares in the null space of what is kept, with vectors whose reading may not move.

    The D = T P of least ``mean |W(c + Dc) - Wg|^2 + ridge |W D|^2 + |W D K|^2 / slack`` where
    P = I - basis basis^T, over sources c and targets g (n, d) and invariants K (k, d); with
    ``slack`` 0, D K = 0. With G = P (P S P + ridge I)^-1 P and S the mean of c c^T, it is
    D = mean (g - c) c^T [G - G K (K^T G K + slack I)^-1 K^T G].

    basis: (d, k), orthonormal. Without slack the invariants join it, which is the same and holds
    for invariants that depend on one another or on what is kept.
    """
    c, g = sources.double(), targets.double()
    n, d = c.shape
    if invariants is not None and slack == 0:
        basis = joined(basis, invariants)
    left, factor = (g - c).T / math.sqrt(n), c.T / math.sqrt(n)  # (d, n): T = left factor^T ...
    if n > d:  # the same two products in d terms instead of n
        q, upper = torch.linalg.qr(factor.T)
        left, factor = left @ q, upper.T
    factor = factor - basis @ (basis.T @ factor)  # P c
    gram = ridge * eye_like(factor.T @ factor) + factor.T @ factor
    right = _solve(gram, factor.T).T  # G c = P c (ridge I + (P c)^T P c)^-1
    if invariants is not None and slack > 0:
        k = invariants.double().T  # (d, k)
        free = k - basis @ (basis.T @ k)
        pulled = (free - right @ (factor.T @ free)) / ridge  # G K, by Woodbury's identity
        inner = k.T @ pulled
        right = right - pulled @ _solve(inner + slack * eye_like(inner), k.T @ right)
    return Update.of(left, right.T)


def removal(basis: Tensor) -> Update:
    """Orthogonal projection: what lies along ``basis`` (d, k), orthonormal, is no longer read."""
    return Update(-basis.double(), basis.double().T.contiguous())


def dominant(rows: Tensor, threshold: float) -> Tensor:
    """Orthonormal eigenvectors (d, k) of ``rows^T rows`` with eigenvalues of ``threshold`` or more.

    Found through the smaller of the two products of rows (n, d) with themselves.
    """
    x = rows.double()
    thin = len(x) < x.shape[1]
    values, vectors = torch.linalg.eigh(x @ x.T if thin else x.T @ x)  # ascending
    least = max(threshold, float(values[-1]) * TINY) if len(values) else threshold
    found: Tensor = vectors[:, values >= least].flip(1)
    return torch.linalg.qr(x.T @ found)[0] if thin else found


def joined(basis: Tensor, rows: Tensor) -> Tensor:
    """An orthonormal basis (d, k') of ``basis`` (d, k), orthonormal, and rows (n, d) together."""
    x = rows.double().T
    size = torch.linalg.vector_norm(x, dim=0).max()
    rest = x - basis @ (basis.T @ x)
    rest = rest - basis @ (basis.T @ rest)  # twice is enough, Parlett 1998, section 6.9
    u, s, _ = torch.linalg.svd(rest, full_matrices=False)
    fresh = u[:, s > TINY * size]
    fresh = torch.linalg.qr(fresh - basis @ (basis.T @ fresh))[0]
    return torch.cat([basis.double(), fresh], dim=1)


def weakest(weight: Tensor) -> Tensor:
    """The right singular vector (d,) of the smallest of a weight's min(o, d) singular values."""
    w = weight.detach().double().cpu()
    wide = w.shape[0] < w.shape[1]
    gram = (w @ w.T if wide else w.T @ w).numpy()
    # LAPACK's evr finds one eigenvector for a third of what all of them cost.
    vector = torch.from_numpy(scipy.linalg.eigh(gram, subset_by_index=[0, 0])[1][:, 0])
    found: Tensor = w.T @ vector if wide else vector
    return found.div(found.norm())


def _solve(matrix: Tensor, rhs: Tensor) -> Tensor:
    """``matrix^-1 rhs`` of a symmetric positive definite matrix."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info) != 0:
        raise NumericalError(
            "expected a least-squares problem with one solution, got a singular one; give a "
            "regularisation above 0"
        )
    found: Tensor = torch.cholesky_solve(rhs, factor)
    return found
