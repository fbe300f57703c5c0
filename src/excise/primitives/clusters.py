"""k-means of a few vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from excise.rng import generator

ROUNDS = 100


def centroids(rows: Tensor, k: int, seed: int = 0) -> Tensor:
    """Lloyd's k-means: (k, d) means of rows (n, d), or the rows themselves if they are no more.

    It starts from rows drawn as k-means++ draws them (Arthur and Vassilvitskii 2007), on ``seed``.
    """
    if len(rows) <= k:
        return rows
    numbers = generator("centroids", seed)
    found = rows[torch.randint(len(rows), (1,), generator=numbers)]
    while len(found) < k:
        far = torch.cdist(rows, found).min(dim=1).values.square()
        if not bool(far.any()):  # fewer kinds of rows than k
            return found
        found = torch.cat([found, rows[torch.multinomial(far, 1, generator=numbers)]])
    for _ in range(ROUNDS):
        nearest = torch.cdist(rows, found).argmin(dim=1)
        means = torch.stack(
            [rows[nearest == i].mean(0) if bool((nearest == i).any()) else c
             for i, c in enumerate(found)]
        )  # fmt: skip
        if torch.equal(means, found):
            break
        found = means
    return found
