"""Gradient surgery: a step for one aim that does not, to first order, undo another."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Gradients = Mapping[str, Tensor]


def taken(live: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradients that weights have, taken out of them."""
    found = {name: weight.grad for name, weight in live.items() if weight.grad is not None}
    for name in found:
        live[name].grad = None
    return found


def protected(live: Mapping[str, Tensor], others: Gradients) -> None:
    """Add gradients to those that weights have, without their part against these."""
    own = taken(live)
    for part in (off(others, own), own):
        for name, gradient in part.items():
            before = live[name].grad
            live[name].grad = gradient if before is None else before + gradient


def off(gradients: Gradients, own: Gradients) -> dict[str, Tensor]:
    """Gradients without their part against some others; unchanged where the two do not conflict.

    ``g - min(0, <g, r>) / ||r||^2 r``, over all weights together: PCGrad (Yu et al. 2020,
    arXiv:2001.06782, algorithm 1), of one gradient off one other, which keeps its own.

    gradients, own: by weight; one that either lacks counts as zero there.
    """
    shared = [name for name in gradients if name in own]
    if not shared:
        return dict(gradients)
    dots = [(gradients[n].double() * own[n].double()).sum().cpu() for n in shared]
    dot = float(torch.stack(dots).sum())
    size = float(torch.stack([r.double().square().sum().cpu() for r in own.values()]).sum())
    if dot >= 0 or size == 0:
        return dict(gradients)
    found = dict(gradients)
    for name, r in own.items():
        part = (-dot / size) * r
        found[name] = found[name] + part if name in found else part
    return found
