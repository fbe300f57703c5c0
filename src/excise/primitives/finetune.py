"""FT: train selected weights of a model for a while, and hand back by how much they moved.

What is minimised is a weighted sum of terms, each a function that answers a scalar: an erase term,
a retain term, one that moves inputs as well and so is an inner adversary. The terms of a step
depend on (seed, step) and on their memory alone, so a run that was killed goes on to the same
bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from excise.errors import BadSetting, NumericalError, unknown
from excise.primitives.backward import check_reached, descend
from excise.primitives.kernels import for_gradients
from excise.primitives.parametrise import Full, Parametrisation
from excise.primitives.stepper import Optimiser, Stepper
from excise.primitives.surgery import protected, taken
from excise.primitives.tuned import Tuned
from excise.progress import SILENT, Progress, stage
from excise.rng import generator, seed_of
from excise.store import Artefact, Stage
from excise.types import Selector, TextToImage

__all__ = ["Draw", "Loss", "Memory", "Optimiser", "Term", "Tuned", "finetune"]

HALF_SCALE = 4096.0  # keeps small gradients of a float16 model from vanishing


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What a term may draw at one step; another seed, term or step is other numbers."""

    seed: int
    term: str
    step: int

    @property
    def generator(self) -> torch.Generator:
        """A fresh generator on the CPU: the same numbers whenever it is asked for."""
        return generator("fine-tune", self.seed, self.term, self.step)

    def rows(self, n: int, batch: int) -> Tensor:
        """Which of n examples come now, int64 (batch,): each once, in a new order, then again."""
        places = range(self.step * batch, (self.step + 1) * batch)
        orders = {
            epoch: torch.randperm(n, generator=generator("rows", self.seed, self.term, epoch))
            for epoch in {place // n for place in places}
        }
        return torch.stack([orders[place // n][place % n] for place in places])


Loss = Callable[[Draw], Tensor]


class Memory(Protocol):
    """What a term carries from one step to the next."""

    def tensors(self) -> Mapping[str, Tensor]:
        """All of it, by name."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Term:
    """A part of what is minimised.

    loss: a scalar, in fp32. weight: its factor in the sum. memory: kept with the checkpoints, of a
    term whose loss depends on more than the draw and the model.
    """

    loss: Loss
    weight: float = 1.0
    memory: Memory | None = None


def finetune(
    model: TextToImage,
    selector: Selector,
    terms: Mapping[str, Term],
    *,
    steps: int,
    optimiser: Optimiser,
    seed: int = 0,
    parametrisation: Parametrisation | None = None,
    mask: Mapping[str, Tensor] | None = None,
    protect: str | None = None,
    accumulate: int = 1,
    progress: Progress | None = None,
    stage: Stage | None = None,
) -> Tuned:
    """Minimise the sum of the terms over the selected weights; the model is left as it was.

    parametrisation: `Full` unless given; `LowRank`, or `Adapters`, whose answer is a hook.
    mask: by name of a weight, factors on its gradient, such as a saliency's zeros and ones; with
        it, and `Full`, what is not named stays.
    protect: the term whose gradient the others may not oppose; where they do, their part against it
        is taken out of them (`surgery`). Costs a second gradient's memory.
    accumulate: draws a step, for batches that do not fit the memory at once.
    stage: where to go on from, and to keep the result; its key must hold all that the terms depend
        on.

    Raises:
        BadSetting: fewer than one step, no term, or weights that the terms do not depend on.
        UnknownName: a selector that means no weight.
        NumericalError: a loss or gradient is not finite; nothing of the run is kept then but its
            last checkpoint.
    """
    if steps < 1 or accumulate < 1:
        raise BadSetting(f"expected steps and accumulate >= 1, got {steps} and {accumulate}")
    if not terms:
        raise BadSetting("expected at least one term to minimise, got none")
    if protect is not None and protect not in terms:
        raise unknown("term", protect, terms)
    if stage is not None and (done := stage.load()) is not None:
        return Tuned.of(done)
    with torch.enable_grad(), model.trainable(selector) as live, for_gradients(model):
        if not live:
            raise BadSetting(f"expected a selector of at least one weight, got {selector!r}")
        if mask is not None:
            if strange := sorted(set(mask) - set(live)):
                raise unknown("selected weight", strange[0], live)
            live = {name: weight for name, weight in live.items() if name in mask}
        variables = (parametrisation or Full()).begin(live, seed)
        half = any(weight.dtype == torch.float16 for weight in live.values())
        added = variables.hooks(variables.values)
        if added and mask is not None:
            raise BadSetting("expected no mask with adapters, which leave the weights as they are")
        run = Stepper(variables, optimiser, steps, HALF_SCALE if half else 1.0)
        _restore(run, terms, stage.resume() if stage is not None else None)
        asked = _Asked(selector, terms, seed_of("fine-tune", seed), protect, accumulate)
        with model.hooked(added) if added else nullcontext():
            _train(run, variables.graded, asked, mask or {}, progress or SILENT, stage)
        ended = run.averages or variables.values
        tuned = Tuned(
            encoded=variables.deltas(ended),
            curves={name: tuple(run.curves[name]) for name in terms},
            hooks=variables.hooks({n: v.detach().cpu().clone() for n, v in ended.items()})
            if added
            else (),
        )
    if stage is None:
        return tuned
    kept = tuned.artefact()
    return Tuned.of(stage.finish(kept.tensors, kept.record))


@dataclass(frozen=True, eq=False)
class _Asked:
    """What every step's gradient follows from; as in `finetune`."""

    selector: Selector
    terms: Mapping[str, Term]
    seed: int
    protect: str | None
    accumulate: int


def _train(
    run: Stepper,
    live: Mapping[str, Tensor],
    asked: _Asked,
    mask: Mapping[str, Tensor],
    progress: Progress,
    kept: Stage | None,
) -> None:
    masks = {n: m.to(live[n].device, live[n].dtype) for n, m in mask.items() if n in live}
    with stage(progress, "fine-tune", run.steps):
        progress.advance(run.step)
        while run.step < run.steps:
            losses = _gradients(run, live, asked)
            for name, factor in masks.items():
                if (gradient := live[name].grad) is not None:
                    gradient.mul_(factor)
            run.variables.pull(run.scale)
            norm = _clip(run)
            if math.isfinite(norm):
                run.advance(losses)
                progress.advance()
                if kept is not None:
                    kept.checkpoint(lambda: _state(run, asked.terms))
            elif run.scale > 1:
                run.scale /= 2  # the scaled gradient overflowed: the same step once more
                run.adam.zero_grad(set_to_none=True)
            else:
                raise _diverged("the gradient's norm", norm, run)


def _state(run: Stepper, terms: Mapping[str, Term]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All that the next steps depend on."""
    tensors, record = run.state()
    for name, term in terms.items():
        if term.memory is not None:
            own = term.memory.tensors()
            tensors |= {f"term/{name}/{part}": value for part, value in own.items()}
    return tensors, record


def _restore(run: Stepper, terms: Mapping[str, Term], begun: Artefact | None) -> None:
    """Go on from a checkpoint, if there is one."""
    run.restore(begun)
    for name, term in terms.items():
        if begun is not None and term.memory is not None:
            start, kept = f"term/{name}/", begun.tensors
            own = {n.removeprefix(start): kept[n] for n in kept if n.startswith(start)}
            term.memory.restore(own)


def _gradients(run: Stepper, live: Mapping[str, Tensor], asked: _Asked) -> dict[str, float]:
    """Add up the gradients in the live weights, term by term, so that one graph lives at a time."""
    losses = dict.fromkeys(asked.terms, 0.0)
    others: dict[str, Tensor] = {}
    for name in sorted(asked.terms, key=lambda name: name == asked.protect):  # that one last
        term = asked.terms[name]
        if name == asked.protect:
            others = taken(live)
        for part in range(asked.accumulate):
            draw = Draw(seed=asked.seed, term=name, step=run.step * asked.accumulate + part)
            loss = term.loss(draw)
            losses[name] += float(loss.detach()) / asked.accumulate
            if not math.isfinite(losses[name]):
                raise _diverged(f"the loss {name!r}", losses[name], run)
            factor = term.weight * run.scale / asked.accumulate
            descend(factor * loss, asked.selector, f"the loss {name!r}")
    if others:
        protected(live, others)
    check_reached(live.values(), asked.selector)
    return losses


def _clip(run: Stepper) -> float:
    """Bound the norm of all gradients; the norm before that."""
    values = list(run.variables.values.values())
    limit = math.inf if run.settings.clip is None else run.settings.clip
    return float(torch.nn.utils.clip_grad_norm_(values, limit))


def _diverged(what: str, value: float, run: Stepper) -> NumericalError:
    return NumericalError(
        f"{what} became {value} at step {run.step + 1} of {run.steps} of the fine-tune; lower lr "
        f"(it is {run.settings.lr:g}), or load the model in float32 if it is in half precision"
    )
