"""Erase hard, then heal, against what searches still find: the robust form of a task vector.

Beyond the strength at which everything else is kept, a negated task vector takes the concept out
of reach of searched inputs too. What had to stay is then trained back by distillation from the
unedited model, while the concept is pinned: at inputs that bring it out of that model, and at
inputs that follow the edit as it heals, searching for what is left; see
`excise.erasers.opposing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from excise.erasers import blocks, searching
from excise.erasers.base import Work
from excise.erasers.extinction import UNSEEN, extinction
from excise.erasers.looking import Member
from excise.erasers.opposing import opponents
from excise.primitives import arithmetic
from excise.primitives.finetune import Optimiser
from excise.primitives.healing import Lesson, heal, kept_lesson, kept_texts, pinned_lesson
from excise.progress import stage
from excise.rng import seed_of
from excise.types import Concept, Condition

if TYPE_CHECKING:
    from excise.erasers.task_vector import TaskVector

Deltas = Mapping[str, Tensor]
ELSEWHERE = 256
"""Prompts of other things under which a style's pictures are held down."""
Target = Literal["hard", "away"]


def target_of(method: TaskVector, concept: Concept) -> Target:
    """What the concept is held down to.

    A style goes where the unedited model would go without it: what the hard edit makes of its
    pictures are contours and blots, which pass for a style. Where no prompt names the concept, the
    model shows it without one as well, and there is nowhere to go but to the hard edit.
    """
    return method.pin_to or ("away" if concept.kind == "style" else "hard")


@dataclass(frozen=True, eq=False, kw_only=True)
class Mended:
    """An edit that was healed, at strength 1, and how it came to be."""

    deltas: dict[str, Tensor]
    record: Mapping[str, Any]


def mended(method: TaskVector, work: Work, tau: Deltas) -> Mended:
    """``-hard * tau``, healed while what brings the concept out is held down."""
    share = len(work.concepts)
    latents = [made.latents for made in work.pictures(64, "find")]
    found = _found(method, work, latents)
    alpha, tried = _hard(method, work, tau, found, latents)
    hard = arithmetic.negated(tau, alpha)
    shown = work.pictures(method.pictures, "tau", method.contexts)
    kept = Lesson.of(work.kept("heal-kept", lambda: (_kept(method, work).tensors(), None)).tensors)
    inputs = [blocks.words(work, (concept,)) for concept in work.concepts]
    others = [_elsewhere(method, work, concept) for concept in work.concepts]
    for one in found:
        new = searching.in_sentences(work.model, one.found)
        inputs[one.concept] = Condition.cat([inputs[one.concept], new])
    lessons = {"kept": (kept, method.heal_batch, 1.0)}
    for i in range(share):
        pinned = _pinned(method, work, i, shown[i].latents, inputs[i], others[i], hard)
        rows = -(-method.heal_batch // (2 * share))
        lessons[f"pinned {i}" if share > 1 else "pinned"] = (pinned, rows, method.pin / share)
    deltas, tuned = heal(
        work.model,
        hard,
        lessons,
        against=opponents(method, work, [one.latents for one in shown], hard),
        selector=tuple(tau) if method.confined else method.selector,
        steps=method.heal,
        optimiser=Optimiser(lr=method.heal_lr, annealed=True),
        seed=seed_of("heal", work.seed),
        progress=work.progress,
        stage=work.stage("healed"),
    )
    record = {
        "hard": alpha,
        "extinct": tried,
        "pinned": sum(len(one) for one in (*inputs, *others) if one is not None),
        "losses": [[float(value) for value in one.found.loss] for one in found],
        **tuned.record(),
    }
    return Mended(deltas=dict(deltas), record=record)


def _elsewhere(method: TaskVector, work: Work, concept: Concept) -> Condition | None:
    """Prompts of other things under which the concept's pictures are held down, if any.

    A search that finds no words left for the concept goes on to those of something else.
    """
    usual = 0 if concept.kind == "object" else ELSEWHERE
    n = usual if method.anywhere is None else method.anywhere
    if not n:
        return None
    seed = seed_of("anywhere", work.seed)
    return work.model.encode(kept_texts(work.model, work.concepts, n, seed)).detach()


def _pinned(
    method: TaskVector,
    work: Work,
    number: int,
    latents: Tensor,
    inputs: Condition,
    others: Condition | None,
    hard: Deltas,
) -> Lesson:
    """What is to be said of a concept's pictures, under what brings it out and elsewhere.

    Each row of either comes as often.
    """
    target = target_of(method, work.concepts[number])
    n = -(-method.pinned // len(work.concepts))
    rows = len(inputs) + (0 if others is None else len(others))
    seed = seed_of("pinned", work.seed, number)
    elsewhere = 0 if others is None else n * len(others) // rows
    pinned = pinned_lesson(
        work.model,
        latents,
        inputs,
        n - elsewhere,
        to=hard if target == "hard" else None,
        away=method.away,
        seed=seed,
    )
    if others is None or not elsewhere:
        return pinned
    to: Deltas = hard if target == "hard" else {}  # the unedited model draws what is asked for
    beside = pinned_lesson(
        work.model, latents, others, elsewhere, to=to, seed=seed_of("elsewhere", seed)
    )
    return pinned.and_then(beside)


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


def _found(method: TaskVector, work: Work, latents: Sequence[Tensor]) -> list[Member]:
    """Inputs that bring each concept out of the unedited model."""
    seed = seed_of("pin", work.seed)
    with stage(work.progress, "inputs to pin"):
        return [
            Member(concept=i, found=found)
            for i, concept in enumerate(work.concepts)
            for found in searching.inputs(method, work, concept, latents[i], seed=seed)
        ]
