"""SPEED: edit the values of cross-attention in the null space of what the edit would hurt.

Li et al. 2025, "SPEED: Scalable, Precise, and Efficient Concept Erasure for Diffusion Models"
(arXiv:2503.07392).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, get_args

import torch
from torch import Tensor

from excise.edit import Encoded
from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Need
from excise.primitives.closed_form import constrained, dominant, weakest
from excise.primitives.clusters import centroids
from excise.primitives.moments import eye_like
from excise.primitives.readers import States, empty_states, pairs, readings, states
from excise.primitives.swaps import GUIDED, Retain, retained, swaps
from excise.progress import stage
from excise.rng import generator

CENTROIDS = 3  # of the empty prompt's states but the first: Invariant Equality Constraints
MANY = 10
"""Concepts from which on nothing is filtered. The authors filter for up to three, and not for 10,
50 and 100 celebrities, where what they keep does not span enough to be thinned out."""


@dataclass(frozen=True, kw_only=True)
class SPEED(Eraser):
    """Scalable, Precise, and Efficient erasure, for all concepts in one solve a weight.

    ``dW = W (S_at - S_tt) P [I - M K (K^T P M K + slack I)^-1 K^T P] M`` with the mean moments S of
    targets and anchors, M = (S_tt P + ridge I)^-1, the invariants K (the empty prompt's first state
    and three centroids of the others) and the null space P of what is kept, which is each weight's
    own.

    As in the authors' code, which edits the values alone; the paper's equation is for any. What is
    kept is filtered state by state, so that all of its states are in memory at once.

    tokens: which states of a concept's prompts are read as which of its anchor's; the authors take
        ``words`` for nudity. What is kept is kept in the same states.
    guide: what is read in the concepts' place.
    threshold: eigenvalues of what is kept from which a direction is closed; 1e-4 for celebrities.
    ridge: weight of the change itself; 0.05 for celebrities, 0.7 for nudity. slack: 0 holds the
        invariants exactly; 0.5 for nudity.
    filtered: keep only what the edit would move by more than the mean; the authors do for up to
        three concepts, and not for ten and more.
    augment: copies of what is kept, each moved along the weight's weakest direction.
    retain, paraphrases: what is kept, and in how many sentences.
    kinds: which weights change; ``context`` is what SD 3 has in the place of cross-attention.
    """

    name: ClassVar[str] = "speed"
    paper: ClassVar[str] = "arXiv:2503.07392"
    needs: ClassVar[frozenset[Need]] = frozenset({"text_readers"})
    scaled: ClassVar[tuple[str, ...]] = ()  # a closed form has no steps to scale
    unset: ClassVar[Mapping[str, str]] = {
        "guide": GUIDED,
        "filtered": f"True for fewer than {MANY} concepts",
    }
    smallest: ClassVar[Mapping[str, object]] = {"augment": 2}

    tokens: States = "last"
    guide: str | None = None
    threshold: float = 0.1
    ridge: float = 1.0
    slack: float = 0.0
    filtered: bool | None = None
    augment: int = 10
    retain: Retain = "kept"
    paraphrases: bool = False
    kinds: tuple[str, ...] = ("value", "context")

    def __post_init__(self) -> None:
        self._positive("threshold", "ridge")
        self._among("tokens", get_args(States))
        self._among("retain", get_args(Retain))
        self._at_least(0, "slack", "augment")

    def change(self, work: Work) -> Change:
        """One solve a weight."""
        model, concepts = work.model, work.concepts
        asked = swaps(concepts, self.name, guide=self.guide)
        kept = retained(model, concepts, self.retain, self.paraphrases)
        groups = readings(model, self.kinds, self.name)
        filtered = len(concepts) < MANY if self.filtered is None else self.filtered
        live = model.parameters("*")
        deltas: dict[str, Encoded] = {}
        closed: dict[str, int] = {}
        with stage(work.progress, "solve", sum(len(g.weights) for g in groups), "weight"):
            for group in groups:
                both = [*pairs(model, group, asked, self.tokens)]
                sources, targets = (torch.cat([pair[side] for pair in both]) for side in (0, 1))
                rows = torch.cat([sources[:0], *states(model, group, kept, self.tokens)])
                fixed = torch.cat(
                    [
                        part
                        for own in empty_states(model, group)
                        for part in (own[:1], centroids(own[1:], CENTROIDS, work.seed))
                    ]
                )
                prior = Prior(
                    sources=sources,
                    targets=targets,
                    rows=rows,
                    filtered=filtered,
                    augment=self.augment,
                    threshold=self.threshold,
                )
                for name in group.weights:
                    weight = live[name].detach()[:, : group.width]
                    basis = prior.basis(weight, generator("speed", work.seed, name))
                    closed[name] = basis.shape[1]
                    update = constrained(
                        sources, targets, basis, fixed, ridge=self.ridge, slack=self.slack
                    )
                    deltas |= update.on({name: live[name]})
                    work.progress.advance()
        record = {
            "swaps": [[source.text, target.text] for source, target in asked],
            "kept": [mention.text for mention in kept],
            "filtered": filtered,
            "closed": closed,
        }
        return Change(deltas=deltas, record=record)


@dataclass(frozen=True, eq=False, kw_only=True)
class Prior:
    """What is kept, and what every weight needs to tell how far the edit would move it.

    sources, targets: (n, d). rows: (m, d), what is kept. filtered, augment, threshold: as in SPEED.
    """

    sources: Tensor
    targets: Tensor
    rows: Tensor
    filtered: bool = True
    augment: int = 10
    threshold: float = 0.1

    @cached_property
    def reach(self) -> Tensor:
        """(n, d): an unconstrained edit W (S_at - S_tt) (I + S_tt)^-1 moves c by W C reach c.

        C (d, n) are the anchors less the targets, as columns.
        """
        n = len(self.sources)
        gram = self.sources @ self.sources.T / n
        found: Tensor = torch.linalg.solve(gram + eye_like(gram), self.sources) / n
        return found

    @cached_property
    def seen(self) -> Tensor:
        """(m, n): the rows under `reach`."""
        return self.rows @ self.reach.T

    def basis(self, weight: Tensor, numbers: torch.Generator) -> Tensor:
        """What a weight (o, d) is to leave alone: an orthonormal basis (d, k).

        Influence-based Prior Filtering: of the rows those stay that the unconstrained edit moves by
        more than their mean. Directed Prior Augmentation: each is joined by copies c + z v, with
        z ~ N(0, 1), along the weight's weakest direction v, which are filtered in the same way
        (here against the mean over all copies, in the code over those of a chunk of prompts). All
        of it lies in the span of the rows and v, so the moment is of rank m + 1 however many copies
        there are. Where o < d, v is the last of o right singular vectors, as in the code.
        """
        rows, seen = self.rows, self.seen
        if len(rows) == 0:
            return rows.T
        moved = weight.float().cpu() @ (self.targets - self.sources).T.float()  # (o, n)
        size = (moved.T @ moved).double()  # (n, n)
        if self.filtered:
            far = ((seen @ size) * seen).sum(1).clamp(min=0).sqrt()  # (m,)
            most = far >= far.mean()
            rows, seen = rows[most], seen[most]
        if not self.augment:
            return dominant(rows / math.sqrt(len(rows)), self.threshold)
        v = weakest(weight)
        own = self.reach @ v  # (n,)
        z = torch.randn(len(rows), self.augment, generator=numbers, dtype=torch.float64)
        # |a + z b|^2 for what the edit does to a row, a, and to v, b.
        aa, ab, bb = ((seen @ size) * seen).sum(1), seen @ size @ own, own @ size @ own
        far = (aa[:, None] + 2 * z * ab[:, None] + z.square() * bb).clamp(min=0).sqrt()
        there = far > far.mean()
        return dominant(with_copies(rows, v, z, there), self.threshold)


def with_copies(rows: Tensor, v: Tensor, z: Tensor, there: Tensor) -> Tensor:
    """Rows whose second moment is the mean one of rows c (m, d) and of their copies c + z v.

    z, there: (m, a), and which of the copies count. With one row and its copies counted as k, s the
    sum of their z and q that of z^2, they sum to k (c + v s/k) (c + v s/k)^T + (q - s^2/k) v v^T.
    """
    z = z * there
    k, s, q = 1 + there.sum(1), z.sum(1), z.square().sum(1)  # (m,)
    merged = k.sqrt()[:, None] * (rows + (s / k)[:, None] * v)  # (m, d)
    rest = (q - s.square() / k).sum().clamp(min=0).sqrt() * v
    return torch.cat([merged, rest[None]]) / k.sum().sqrt()
