"""MASK: which weights a concept hangs on, and what may be done with those alone.

Three ways to say so: by the gradient of a loss (SalUn), by what a layer reads when it draws the
concept and when it does not (ConceptPrune), and by layer, forgetting against retaining (SLUG).
A mask is a boolean tensor in the shape of its weight, by canonical name. `finetune` takes one, and
so do `confined` (a change, within it) and `pruned` (zero, within it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from excise.errors import BadSetting, NumericalError
from excise.primitives.backward import descend
from excise.primitives.kernels import for_gradients
from excise.progress import SILENT, Progress, stage
from excise.types import Selector, TextToImage

Weights = Mapping[str, Tensor]
Masks = Mapping[str, Tensor]
RowLosses = Callable[[Tensor], Tensor]
"""Rows of a set of examples, int64 (m,), to their losses (m,), each a function of its row alone."""

_LOW = 16  # bits of a float32 that the second pass of `_least` looks at


def gradient_sums(
    model: TextToImage,
    selector: Selector,
    losses: RowLosses,
    n: int,
    *,
    batch: int,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """The signed gradient of the sum of n losses, by weight: float32, on the CPU.

    Sums, not means, so that ``batch`` decides the memory and nothing else. Beside the model it
    takes one tensor a selected weight.

    Raises:
        BadSetting: the losses do not depend on the selected weights. NumericalError: a gradient is
            not finite.
    """
    found: dict[str, Tensor] = {}
    told = stage(progress or SILENT, "saliency", -(-n // batch), "batch")
    with told as shown, torch.enable_grad(), model.trainable(selector) as live:
        with for_gradients(model):
            for first in range(0, n, batch):
                rows = torch.arange(first, min(first + batch, n))
                descend(losses(rows).sum(), selector)
                for name, weight in live.items():
                    # float32 adds up in place; in half precision, small batches would be lost.
                    if weight.grad is not None and weight.dtype != torch.float32:
                        part = weight.grad.float().cpu()
                        found[name] = found[name].add_(part) if name in found else part
                        weight.grad = None
                shown.advance()
        for name, weight in live.items():
            if weight.grad is not None:
                found[name] = weight.grad.cpu()
                weight.grad = None
            found.setdefault(name, torch.zeros(weight.shape))
    if broken := [name for name, value in found.items() if not value.isfinite().all()]:
        raise NumericalError(
            f"the gradient of {broken[0]} is not finite; load the model in float32"
        )
    return found


def top_share(scores: Weights, share: float) -> dict[str, Tensor]:
    """The largest ``share`` of all scores together, to one, as masks.

    Of equal scores at the threshold, those of the first names come first. The threshold is found
    by counting bit patterns, so that scores are neither sorted nor laid side by side.

    scores: float32, >= 0. share: in (0, 1].
    """
    if not 0 < share <= 1:
        raise BadSetting(f"expected a share in (0, 1], got {share}")
    wanted = round(share * sum(score.numel() for score in scores.values()))
    least, ties = _least(scores, wanted)
    masks: dict[str, Tensor] = {}
    for name, score in scores.items():
        bits = _bits(score)
        mask = bits > least
        if ties:
            equal = (bits == least).nonzero().flatten()[:ties]
            mask[equal] = True
            ties -= len(equal)
        masks[name] = mask.view(score.shape)
    return masks


def _bits(score: Tensor) -> Tensor:
    """Floats >= 0 as integers of the same order, (n,)."""
    return score.detach().float().cpu().contiguous().view(torch.int32).flatten()


def _least(scores: Weights, wanted: int) -> tuple[int, int]:
    """The bits of the ``wanted``-th largest score, and how many scores equal to it are wanted."""
    high, left = _bin(scores, wanted, lambda bits: bits >> _LOW, 1 << (31 - _LOW))
    inside = (1 << _LOW) - 1
    low, left = _bin(scores, left, lambda bits: bits[bits >> _LOW == high] & inside, 1 << _LOW)
    return (high << _LOW) | low, left


def _bin(
    scores: Weights, wanted: int, part: Callable[[Tensor], Tensor], size: int
) -> tuple[int, int]:
    """The bin, counted from the largest, that holds the ``wanted``-th; how many of it that is."""
    counts = torch.zeros(size, dtype=torch.int64)
    for score in scores.values():
        counts += torch.bincount(part(_bits(score)), minlength=size)
    above = counts.flip(0).cumsum(0)  # at i: in the i + 1 largest bins
    place = min(int(torch.searchsorted(above, wanted)), size - 1)
    before = int(above[place - 1]) if place else 0
    return size - 1 - place, wanted - before


def importance(weight: Tensor, norms: Tensor) -> Tensor:
    """``|W_ij| * ||X_j||``, (o, i): Wanda (Sun et al. 2023, arXiv:2306.11695, eq. 1).

    weight: (o, i). norms: (i,), of each input over all tokens.
    """
    return weight.detach().float().cpu().abs() * norms


def skilled(weight: Tensor, target: Tensor, base: Tensor, share: float) -> Tensor:
    """The weights that matter for a target, and more than they do for a base, as a mask (o, i).

    Of each row those among the ``share`` with the largest `importance` under the target, at least
    one, whose importance is larger than under the base (Chavhan et al. 2024, arXiv:2405.19237).

    target, base: (i,), norms of the inputs.
    """
    score = importance(weight, target)
    count = max(1, int(share * score.shape[1]))
    top = torch.zeros_like(score, dtype=torch.bool)
    top.scatter_(1, score.topk(count, dim=1).indices, True)  # (o, count) -> (o, i)
    return top & (score > importance(weight, base))


@dataclass(frozen=True, kw_only=True)
class LayerScore:
    """How a layer stands for unlearning by a step along its forget gradient (SLUG).

    importance: ``||g_forget|| / ||theta||``. alignment: the cosine of g_forget and g_retain, in
    size: at zero, forgetting leaves the retained alone to first order.
    """

    layer: str
    importance: float
    alignment: float


def layer_scores(
    layers: Mapping[str, Sequence[str]], weights: Weights, forget: Weights, retain: Weights
) -> tuple[LayerScore, ...]:
    """The two scores of each layer, from gradients by weight (arXiv:2407.11867, section 3).

    layers: names of weights by layer, such as a model's ``blocks()``.
    """

    def flat(values: Weights, names: Sequence[str]) -> Tensor:
        return torch.cat([values[name].detach().double().cpu().flatten() for name in names])

    found = []
    for layer, names in layers.items():
        f, r, w = (flat(values, names) for values in (forget, retain, weights))
        sizes = float(f.norm() * r.norm())
        found.append(
            LayerScore(
                layer=layer,
                importance=float(f.norm() / w.norm().clamp_min(1e-12)),
                alignment=abs(float(f @ r)) / max(sizes, 1e-30),
            )
        )
    return tuple(found)


def pareto(scores: Sequence[LayerScore]) -> tuple[LayerScore, ...]:
    """Those that no other beats in both: the most important first, the least aligned last."""
    found: list[LayerScore] = []
    for score in sorted(scores, key=lambda s: (-s.importance, s.alignment)):
        if not found or score.alignment < found[-1].alignment:
            found.append(score)
    return tuple(found)


def confined(deltas: Weights, masks: Masks) -> dict[str, Tensor]:
    """A change within a mask: zero elsewhere, and none of the weights that it does not name."""
    return {name: delta * masks[name] for name, delta in deltas.items() if name in masks}


def pruned(model: TextToImage, masks: Masks) -> dict[str, Tensor]:
    """The change that sets what a mask holds to zero: ``-theta`` there, float32, on the CPU."""
    live = model.parameters(tuple(masks))
    return confined({name: -w.detach().float().cpu() for name, w in live.items()}, masks)


def joined(masks: Sequence[Masks]) -> dict[str, Tensor]:
    """What any of the masks holds."""
    found: dict[str, Tensor] = {}
    for some in masks:
        for name, mask in some.items():
            found[name] = found[name] | mask if name in found else mask
    return found


def held(masks: Masks) -> int:
    """How many weights masks hold."""
    return sum(int(mask.sum()) for mask in masks.values())
