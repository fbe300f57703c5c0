"""How different the members of a set of inputs are: as vectors, and in what they do.

In a space of 128 dimensions random vectors are nearly orthogonal, so that distance between
embeddings says little. What counts is the change that each makes to the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.primitives.bands import at_levels
from excise.primitives.denoising import Bank, mapped, prediction
from excise.stats import singleton_share
from excise.types import Condition, TextToImage

Interval = tuple[float, float]


def cosines(members: Tensor) -> Tensor:
    """Between all rows of (K, D), (K, K); a row of zeros has cosine 0 to all."""
    unit = F.normalize(members, dim=1)
    return unit @ unit.mT


def outside(values: Tensor, interval: Interval) -> Tensor:
    """By how much values leave an interval; 0 within."""
    low, high = interval
    return (values - high).clamp_min(0) + (low - values).clamp_min(0)


def repulsion(
    members: Tensor, apart: Interval, word: Tensor | None = None, from_word: Interval = (-1.0, 1.0)
) -> Tensor:
    """The squared distances by which cosines leave their intervals, summed over members.

    The bounds of Diverse Inversion (Pham et al. 2024, arXiv:2404.03631) as a penalty: between
    members the mean over the others, to the concept's own word (D,) one a member.

    members: (K, D). Returns a number.
    """
    k = len(members)
    between = outside(cosines(members), apart).square()  # (K, K)
    between = between.masked_fill(torch.eye(k, dtype=torch.bool, device=members.device), 0.0)
    total = between.sum() / max(k - 1, 1)
    if word is not None:
        to_word = torch.cosine_similarity(members, word.to(members)[None], dim=1)  # (K,)
        total = total + outside(to_word, from_word).square().sum()
    return total


@dataclass(frozen=True, eq=False, kw_only=True)
class Diversity:
    """How many kinds of effect a set of K inputs has.

    cosines: float64 (K, K), between effects. same: the mean cosine at which clusters are joined.
    clusters: the cluster of each member, numbered from 0 in order of appearance.
    """

    cosines: Tensor
    same: float
    clusters: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.clusters)

    @property
    def participation(self) -> float:
        """The participation ratio (sum l)^2 / sum l^2 of the cosines' eigenvalues l, 1 to K.

        1 if all do the same, K if no two have anything in common. Members without any effect do
        not count; 0 if all are such.
        """
        return participation(self.cosines)

    @property
    def kinds(self) -> int:
        """The number of clusters."""
        return len(set(self.clusters))

    @property
    def singletons(self) -> float:
        """The share of clusters' members that are alone: how likely the next is of a new kind."""
        return singleton_share(self.clusters)

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {
            "size": len(self),
            "participation": self.participation,
            "kinds": self.kinds,
            "singletons": self.singletons,
            "same": self.same,
            "clusters": list(self.clusters),
        }


def participation(cosines: Tensor) -> float:
    """The participation ratio of a matrix of cosines (K, K)."""
    squares = float(cosines.square().sum())
    return float(cosines.trace()) ** 2 / squares if squares else 0.0


@torch.no_grad()
def functional_diversity(
    model: TextToImage,
    latents: Tensor,
    conditions: Condition,
    bank: Bank,
    *,
    reference: Condition | None = None,
    same: float = 0.7,
    guidance: float | None = None,
) -> Diversity:
    """Compare the change that each condition makes to the prediction on a bank.

    An effect is prediction(condition) - prediction(reference) over all entries of the bank, each
    entry scaled so that the members' effects have a root mean square of 1 there: otherwise a few
    noise levels would decide.

    conditions: K rows. reference: one row; by default the empty prompt. latents: (n, c, h, w) that
    the bank was made for. Memory is that of one entry.
    """
    k = len(conditions)
    cond, null = mapped(model, conditions)
    plain, plain_null = mapped(model, model.encode("") if reference is None else reference)
    nulls = None
    if null is not None and plain_null is not None:
        nulls = Condition.cat([null, plain_null])
    gram = torch.zeros(k, k, dtype=torch.float64)
    for j in range(len(bank)):
        entry = bank.take([j])
        u = entry.u.to(model.device).expand(k + 1)
        rows = Condition.cat([at_levels(cond, u[:k]), at_levels(plain, u[k:])])
        x0 = latents[entry.picture.to(latents.device)].to(model.device, torch.float32)
        x = model.noise(x0, entry.eps.to(x0), entry.u.to(x0)).expand(k + 1, -1, -1, -1)
        out = prediction(model, x, u, rows, nulls, guidance=guidance).double().flatten(1)
        effects = out[:k] - out[k:]  # (K, c * h * w)
        size = effects.square().sum() / k
        if size > 0:
            gram += (effects @ effects.T / size).cpu()
    length = gram.diagonal().sqrt()  # (K,)
    # What rounding leaves of an effect that is none is not an effect.
    scale = torch.where(length > 1e-4 * length.max(), 1 / length, torch.zeros_like(length))
    found = scale[:, None] * gram * scale[None, :]
    return Diversity(cosines=found, same=same, clusters=clusters(found, same))


def clusters(cosines: Tensor, same: float) -> tuple[int, ...]:
    """Average linkage: clusters are joined while their mean cosine is at least ``same``."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(cosines) == 1:
        return (0,)
    distance = (1 - cosines).clamp_min(0)
    distance = (distance + distance.T) / 2
    distance.fill_diagonal_(0)
    labels = fcluster(linkage(squareform(distance.numpy()), "average"), 1 - same, "distance")
    order: dict[int, int] = {}
    return tuple(order.setdefault(int(label), len(order)) for label in labels)
