"""Sums of outer products, gathered batch by batch: what a closed form keeps of many prompts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from excise.errors import UserError


@dataclass(frozen=True, eq=False)
class Moments:
    """The sum of ``a_i b_i^T`` over ``count`` pairs of rows, in float64.

    total: (p, q). Its memory does not depend on how many rows there were.
    """

    total: Tensor
    count: int

    @staticmethod
    def of(batches: Iterable[Tensor]) -> Moments:
        """Second moments of rows that come in batches (n, d); (d, d). At least one batch."""
        return Moments.between((rows, rows) for rows in batches)

    @staticmethod
    def between(batches: Iterable[tuple[Tensor, Tensor]]) -> Moments:
        """Cross moments of rows that come in batches of pairs, (n, p) and (n, q).

        Raises:
            UserError: no batch, from which no width can be told.
        """
        total, count = None, 0
        for a, b in batches:
            part = a.detach().double().T @ b.detach().double()  # (p, n) x (n, q) -> (p, q)
            total = part if total is None else total.add_(part)
            count += len(a)
        if total is None:
            raise UserError("expected at least one batch of rows to sum over, got none")
        return Moments(total, count)

    @property
    def mean(self) -> Tensor:
        """The sum over the number of pairs; zeros for none."""
        return self.total / max(self.count, 1)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.total + other.total, self.count + other.count)


def gathered(batches: Iterable[Tensor]) -> Tensor | Moments:
    """Rows that come in batches (n, d), all in one while they are fewer than d; else their moments.

    Either way in memory of O(d^2); few rows make a smaller problem than their moments do.

    Raises:
        UserError: no batch.
    """
    rows: list[Tensor] = []
    summed: Moments | None = None
    for batch in batches:
        rows.append(batch.detach().double())
        if summed is not None or sum(map(len, rows)) >= batch.shape[1]:
            part = Moments.of(rows)
            summed, rows = part if summed is None else summed + part, []
    if summed is not None:
        return summed
    if not rows:
        raise UserError("expected at least one batch of rows, got none")
    return torch.cat(rows)


@dataclass(frozen=True, eq=False)
class Swapped:
    """What is kept of pairs of rows, c and the g to be read in its place: two (d, d) moments.

    second: of ``c c^T``. away: of ``(g - c) c^T``, by how far readings are to move.
    """

    second: Moments
    away: Moments

    def through(self, matrix: Tensor) -> Swapped:
        """Of the same g, in the place of ``M c`` for a matrix (d, d)."""
        m, count = matrix.double(), self.second.count
        second = m @ self.second.total @ m.T
        cross = (self.away.total + self.second.total) @ m.T  # of g (M c)^T
        return Swapped(Moments(second, count), Moments(cross - second, count))


def paired(batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor] | Swapped:
    """Pairs of rows that come in batches (n, d): all of them while fewer than d; else `Swapped`.

    Either way in memory of O(d^2), beside a batch.

    Raises:
        UserError: no batch.
    """
    sources: list[Tensor] = []
    targets: list[Tensor] = []
    summed: Swapped | None = None
    for source, target in batches:
        sources.append(source.detach().double())
        targets.append(target.detach().double())
        if summed is not None or sum(map(len, sources)) >= source.shape[1]:
            c, g = torch.cat(sources), torch.cat(targets)
            part = Swapped(Moments.of([c]), Moments.between([(g - c, c)]))
            if summed is not None:
                part = Swapped(summed.second + part.second, summed.away + part.away)
            summed, sources, targets = part, [], []
    if summed is not None:
        return summed
    if not sources:
        raise UserError("expected at least one batch of pairs, got none")
    return torch.cat(sources), torch.cat(targets)


def eye_like(moment: Tensor) -> Tensor:
    """The identity of a square moment's size."""
    return torch.eye(len(moment), dtype=moment.dtype, device=moment.device)
