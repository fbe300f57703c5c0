"""Erase hard, then heal, against what searches still find: the robust form of a task vector.

Beyond the strength at which everything else is kept, a negated task vector takes the concept out
of reach of searched inputs too. What had to stay is then trained back by distillation from the
unedited model, while the concept is pinned at inputs that bring it out. Searches on the edit as it
is by then add to those inputs, round by round, as the adversaries of AdvUnlearn (Zhang et al. 2024,
arXiv:2405.15234) and STEREO (Srivatsan et al. 2024, arXiv:2408.16807) do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from excise.erasers import blocks, searching
from excise.erasers.base import Work
from excise.erasers.extinction import UNSEEN, extinction
from excise.erasers.looking import Member
from excise.primitives import arithmetic
from excise.primitives.finetune import Optimiser
from excise.primitives.healing import Lesson, heal, kept_lesson, kept_texts, pinned_lesson
from excise.progress import stage
from excise.rng import seed_of
from excise.store import hash_tensors
from excise.types import Concept, Condition

if TYPE_CHECKING:
    from excise.erasers.task_vector import TaskVector

Deltas = Mapping[str, Tensor]
ELSEWHERE = 256
"""Prompts of other things under which a style's pictures are held down."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Mended:
    """An edit that was healed, at strength 1, and how it came to be."""

    deltas: dict[str, Tensor]
    record: Mapping[str, Any]


def mended(method: TaskVector, work: Work, tau: Deltas) -> Mended:
    """``-hard * tau``, healed once and then again after each search on what has come of it."""
    share = len(work.concepts)
    latents = [made.latents for made in work.pictures(64, "find")]
    found = _found(method, work, latents, None, 0)
    alpha, tried = _hard(method, work, tau, found, latents)
    hard = arithmetic.negated(tau, alpha)
    shown = work.pictures(method.pictures, "tau", method.contexts)
    kept = Lesson.of(work.kept("heal-kept", lambda: (_kept(method, work).tensors(), None)).tensors)
    inputs = [_named(method, work, concept) for concept in work.concepts]
    deltas: Deltas = hard
    curves: list[Any] = []
    losses: list[list[float]] = []
    for number in range(method.pin_rounds + 1):
        if number:
            found = _found(method, work, latents, deltas, number)
        lessons = {"kept": (kept, method.heal_batch, 1.0)}
        for one in found:
            new = searching.in_sentences(work.model, one.found)
            inputs[one.concept] = Condition.cat([inputs[one.concept], new])
            losses.append([float(value) for value in one.found.loss])
        for i in range(share):
            pinned = pinned_lesson(
                work.model,
                shown[i].latents,
                inputs[i],
                -(-method.pinned // share),
                to=hard if method.pin_to == "hard" else None,
                seed=seed_of("pinned", work.seed, number, i),
            )
            lessons[f"pinned {i}" if share > 1 else "pinned"] = (
                pinned,
                -(-method.heal_batch // (2 * share)),
                method.pin / share,
            )
        deltas, tuned = heal(
            work.model,
            deltas,
            lessons,
            selector=tuple(tau) if method.confined else method.selector,
            steps=method.heal,
            optimiser=Optimiser(lr=method.heal_lr, annealed=True),
            seed=seed_of("heal", work.seed, number),
            progress=work.progress,
            stage=work.stage(f"heal-{number}"),
        )
        curves.append(tuned.record()["curves"])
    record = {
        "hard": alpha,
        "extinct": tried,
        "pinned": sum(map(len, inputs)),
        "losses": losses,
        "curves": curves,
    }
    return Mended(deltas=dict(deltas), record=record)


def _named(method: TaskVector, work: Work, concept: Concept) -> Condition:
    """What is pinned before anything was searched: the concept's words, and those of other things.

    A search that finds no words left for the concept goes on to those of something else: so its
    pictures are held down under these too.
    """
    words = blocks.words(work, (concept,))
    usual = 0 if concept.kind == "object" else ELSEWHERE
    n = usual if method.anywhere is None else method.anywhere
    if not n:
        return words
    seed = seed_of("anywhere", work.seed)
    others = work.model.encode(kept_texts(work.model, work.concepts, n, seed))
    return Condition.cat([words, others]).detach()


def _kept(method: TaskVector, work: Work) -> Lesson:
    return kept_lesson(
        work.model,
        work.concepts,
        walks=method.walks,
        near=method.near,
        stand_in=method.stand_in,
        seed=work.seed,
        judge=work.judge,
        progress=work.progress,
    )


def _hard(
    method: TaskVector,
    work: Work,
    tau: Deltas,
    found: Sequence[Member],
    latents: Sequence[Tensor],
) -> tuple[float, list[dict[str, Any]]]:
    """The strength that is healed: the one that was set, or where the concept is extinct."""
    if method.hard is not None:
        return method.hard, []
    if work.judge is None:
        return UNSEEN, []
    at = extinction(method, work, work.judge, arithmetic.negated(tau), found, latents)
    return at.alpha, at.to_json()


def _found(
    method: TaskVector,
    work: Work,
    latents: Sequence[Tensor],
    deltas: Deltas | None,
    number: int,
) -> list[Member]:
    """Inputs that bring each concept out under an edit, or out of the unedited model."""
    edited = (
        nullcontext() if deltas is None else work.model.swapped(deltas, key=hash_tensors(deltas))
    )
    seed = seed_of("pin", work.seed, number)
    with stage(work.progress, f"inputs to pin, round {number + 1}"), edited:
        return [
            Member(concept=i, found=found)
            for i, concept in enumerate(work.concepts)
            for found in searching.inputs(method, work, concept, latents[i], seed=seed)
        ]
