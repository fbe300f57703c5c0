"""Erase hard, then heal, against what searches still find: the robust form of a task vector.

Beyond the strength at which everything else is kept, a negated task vector takes the concept out
of reach of searched inputs too. What had to stay is then trained back by distillation from the
unedited model, while the concept is pinned at inputs that bring it out. Searches on the edit as it
is by then add to those inputs, round by round, as the adversaries of AdvUnlearn (Zhang et al. 2024,
arXiv:2405.15234) and STEREO (Srivatsan et al. 2024, arXiv:2408.16807) do.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from excise.erasers import blocks
from excise.erasers.base import Work
from excise.primitives import arithmetic
from excise.primitives.finetune import Optimiser
from excise.primitives.healing import Lesson, heal, kept_lesson, pinned_lesson
from excise.primitives.inversion import Inversion, Inverter
from excise.progress import stage
from excise.rng import seed_of
from excise.store import hash_tensors
from excise.types import Condition

if TYPE_CHECKING:
    from excise.erasers.task_vector import TaskVector

Deltas = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class Mended:
    """An edit that was healed, at strength 1, and how it came to be."""

    deltas: dict[str, Tensor]
    record: Mapping[str, Any]


def mended(method: TaskVector, work: Work, tau: Deltas) -> Mended:
    """``-hard * tau``, healed once and then again after each search on what has come of it."""
    hard = arithmetic.negated(tau, method.hard)
    latents = work.latents(method.pictures, "tau", method.contexts)
    kept = Lesson.of(work.kept("heal-kept", lambda: (_kept(method, work).tensors(), None)).tensors)
    inputs, deltas = blocks.words(work), hard
    curves: list[Any] = []
    losses: list[list[float]] = []
    for number in range(method.pin_rounds + 1):
        found = _found(method, work, deltas if number else None, number)
        inputs = Condition.cat([inputs, *(o.conditions(work.model).detach() for o in found)])
        losses.append([float(value) for one in found for value in one.loss])
        pinned = pinned_lesson(
            work.model,
            latents,
            inputs,
            method.pinned,
            to=hard if method.pin_to == "hard" else None,
            seed=seed_of("pinned", work.seed, number),
        )
        deltas, tuned = heal(
            work.model,
            deltas,
            {"kept": (kept, 1.0), "pinned": (pinned, method.pin)},
            selector=tuple(tau) if method.confined else method.selector,
            steps=method.heal,
            batch=method.heal_batch,
            optimiser=Optimiser(lr=method.heal_lr),
            seed=seed_of("heal", work.seed, number),
            progress=work.progress,
            stage=work.stage(f"heal-{number}"),
        )
        curves.append(tuned.record()["curves"])
    record = {"hard": method.hard, "pinned": len(inputs), "losses": losses, "curves": curves}
    return Mended(deltas=deltas, record=record)


def _kept(method: TaskVector, work: Work) -> Lesson:
    return kept_lesson(
        work.model, work.concepts, walks=method.walks, seed=work.seed, progress=work.progress
    )


def _found(
    method: TaskVector, work: Work, deltas: Deltas | None, number: int
) -> tuple[Inversion, ...]:
    """Inputs that bring the concept out of the model under an edit, or out of the unedited one.

    One set a space.
    """
    latents = work.latents(64, "find")
    edited = (
        nullcontext() if deltas is None else work.model.swapped(deltas, key=hash_tensors(deltas))
    )
    spaces = method.pin_spaces
    with stage(work.progress, f"inputs to pin, round {number + 1}"), edited:
        return tuple(
            Inverter(
                space=space,
                steps=method.inversion_steps,
                samples=method.samples,
                tokens=method.pin_tokens,
                weighting=method.weighting,
            ).run(
                work.model,
                latents,
                restarts=len(range(i, method.embeddings, len(spaces))),
                seed=seed_of("pin", work.seed, number),
                progress=work.progress,
                stages=work.stages,
            )
            for i, space in enumerate(spaces)
        )
