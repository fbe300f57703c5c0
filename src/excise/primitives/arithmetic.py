"""DELTA: task vectors, how they pull under guidance, and which blocks of them matter.

Ilharco et al. 2023, "Editing Models with Task Arithmetic" (arXiv:2212.04089); for diffusion models
and without any prompt, Pham et al. 2024 (arXiv:2404.03631).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from excise.primitives.denoising import Bank
from excise.primitives.points import Points, answers
from excise.types import Condition, TextToImage

Deltas = Mapping[str, Tensor]


def scaled(deltas: Deltas, alpha: float) -> dict[str, Tensor]:
    """``alpha * deltas``."""
    return {name: alpha * delta for name, delta in deltas.items()}


def negated(deltas: Deltas, alpha: float = 1.0) -> dict[str, Tensor]:
    """``-alpha * tau``."""
    return scaled(deltas, -alpha)


def restricted(deltas: Deltas, names: Sequence[str]) -> dict[str, Tensor]:
    """The task vector set to zero outside some weights."""
    inside = set(names)
    return {name: delta for name, delta in deltas.items() if name in inside}


def norm(deltas: Deltas) -> float:
    """The Euclidean norm over all weights together."""
    return float(torch.stack([d.double().square().sum() for d in deltas.values()]).sum().sqrt())


def relative_norm(model: TextToImage, deltas: Deltas) -> float:
    """``||tau|| / ||theta||`` over the weights that tau touches: strengths compare across taus."""
    live = model.parameters("*")
    return norm(deltas) / norm({name: live[name].detach().float().cpu() for name in deltas})


def cosine(a: Deltas, b: Deltas) -> float:
    """Of two task vectors, over all weights; weights that one lacks count as zero."""
    shared = [(a[n].double() * b[n].double()).sum() for n in a if n in b]
    dot = float(torch.stack(shared).sum()) if shared else 0.0
    return dot / max(norm(a) * norm(b), 1e-12)


def permuted(deltas: Deltas, generator: torch.Generator) -> dict[str, Tensor]:
    """Each weight's entries in a random order: a control with the same size, tensor by tensor."""
    found = {}
    for name, delta in deltas.items():
        order = torch.randperm(delta.numel(), generator=generator)
        found[name] = delta.flatten()[order].view_as(delta)
    return found


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """How an edit pulls along the concept's direction, with the caption and without.

    Sampling uses ``(1 - s) eps_null + s eps_concept``. An edit that moves the two predictions by
    D_u and D_c along the concept's direction removes ``(1 - s) D_u + s D_c``: a removal only if
    ``ratio = D_c / D_u > (s - 1) / s``.

    null, concept: D_u and D_c, as shares of the distance between the two predictions; negative
    moves away from the concept.
    """

    null: float
    concept: float

    @property
    def ratio(self) -> float:
        """R = D_c / D_u; infinite if the unconditional prediction does not move."""
        return self.concept / self.null if self.null else float("inf")

    def net(self, scale: float) -> float:
        """``(1 - s) D_u + s D_c``: negative is a removal at guidance s."""
        return (1 - scale) * self.null + scale * self.concept

    @staticmethod
    def bound(scale: float) -> float:
        """The ratio above which an edit with D_u < 0 removes at guidance s."""
        return (scale - 1) / scale

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {"null": self.null, "concept": self.concept, "ratio": self.ratio}


def guidance(
    model: TextToImage,
    deltas: Deltas,
    latents: Tensor,
    caption: Condition,
    null: Condition,
    bank: Bank,
) -> Guidance:
    """Measure D_u and D_c of deltas on noisy pictures of the concept.

    latents: (n, c, h, w), as the bank was made for. caption, null: one row each. The direction at
    each point is the base's own ``p(caption) - p(null)``.
    """
    points = _points(model, latents, bank)
    with torch.no_grad():
        with_words, without = (answers(model, points, cond) for cond in (caption, null))
        with model.swapped(deltas):
            edited = [answers(model, points, cond) for cond in (caption, null)]
    direction = (with_words - without).flatten(1)  # (n, d)
    size = direction.square().sum()
    moved = [
        float(((new - old).flatten(1) * direction).sum() / size)
        for new, old in zip(edited, (with_words, without), strict=True)
    ]
    return Guidance(concept=moved[0], null=moved[1])


@dataclass(frozen=True, kw_only=True)
class BlockScore:
    """What one block of a task vector does alone.

    gain: rise of the concept's denoising loss at the inputs that bring it out. cost: mean square
    change of the predictions on everything else.
    """

    block: str
    gain: float
    cost: float
    norm: float

    @property
    def value(self) -> float:
        """Gain over cost."""
        return self.gain / max(self.cost, 1e-12)


def block_scores(
    model: TextToImage,
    deltas: Deltas,
    alpha: float,
    latents: Tensor,
    inputs: Condition,
    bank: Bank,
    kept: Points,
    kept_conditions: Condition,
) -> tuple[BlockScore, ...]:
    """Gain and cost of each block of ``-alpha * tau`` alone, best value first.

    inputs: rows that bring the concept out, taken in turn over the bank. kept, kept_conditions:
    points and captions of everything else.
    """
    points = _points(model, latents, bank)
    turn = inputs[[i % len(inputs) for i in range(len(points))]]
    points = Points(x=points.x, u=points.u, row=torch.arange(len(points)))
    x0, eps = latents[bank.picture].float().cpu(), bank.eps.float().cpu()
    target = model.target(x0, eps, bank.u).cpu()
    with torch.no_grad():
        before = (answers(model, points, turn) - target).square().mean()
        plain = answers(model, kept, kept_conditions)
        scores = []
        for block, names in coarse_blocks(model).items():
            if not (part := restricted(deltas, names)):
                continue
            with model.swapped(negated(part, alpha)):
                gain = (answers(model, points, turn) - target).square().mean() - before
                cost = (answers(model, kept, kept_conditions) - plain).square().mean()
            scores.append(
                BlockScore(block=block, gain=float(gain), cost=float(cost), norm=norm(part))
            )
    return tuple(sorted(scores, key=lambda s: -s.value))


def coarse_blocks(model: TextToImage) -> dict[str, tuple[str, ...]]:
    """The groups of the denoiser's weights that are not part of another group."""
    groups = model.blocks()
    inner = {name for name in groups for outer in groups if name.startswith(outer + ".")}
    return {name: members for name, members in groups.items() if name not in inner}


def _points(model: TextToImage, latents: Tensor, bank: Bank) -> Points:
    x0 = latents[bank.picture].float().to(model.device)
    x = model.noise(x0, bank.eps.to(x0), bank.u.to(x0)).cpu()
    return Points(x=x, u=bank.u, row=torch.zeros(len(bank), dtype=torch.int64))
