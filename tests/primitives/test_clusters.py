from __future__ import annotations

import torch

from excise.primitives.clusters import centroids
from excise.rng import generator


def test_well_separated_groups_are_found_whatever_the_seed() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    noise = torch.randn(60, 2, generator=generator("k"), dtype=torch.float64)
    rows = centres.repeat_interleave(20, 0) + 0.1 * noise
    wanted = rows.reshape(3, 20, 2).mean(1)
    for seed in range(5):
        found = centroids(rows, 3, seed)
        order = torch.cdist(wanted, found).argmin(1)
        assert sorted(order.tolist()) == [0, 1, 2]
        assert torch.allclose(found[order], wanted)
        assert torch.equal(found, centroids(rows, 3, seed))


def test_few_rows_and_few_kinds_are_their_own_centroids() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(centroids(rows, 3), rows)
    assert centroids(rows[[0, 1, 0, 1, 0]], 3).shape == (2, 2)
