"""What follows an edit as it heals, and searches for what is left of a concept.

Every search by itself ends where the edit was when it began. Those that go on while the edit is
trained leave it no place that nobody looks at; see `Adversary`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from excise.erasers import searching
from excise.erasers.base import Work
from excise.primitives.adversary import Adversary, Said, Wanted, as_now
from excise.primitives.data import spread
from excise.primitives.finetune import Term
from excise.primitives.healing import kept_texts
from excise.primitives.prompts import spanning
from excise.rng import seed_of
from excise.types import Concept, Condition

if TYPE_CHECKING:
    from excise.erasers.task_vector import Name, TaskVector

ANCHORS = 256
"""Prompts of other things, which stand in a concept's place."""
OWN = 64
"""The concept's own prompts."""


def opponents(
    method: TaskVector, work: Work, latents: Sequence[Tensor], hard: Mapping[str, Tensor]
) -> dict[str, Term]:
    """A term for each concept, all of them with ``adversaries`` inputs and ``against`` in weight.

    latents: by concept, (n, c, h, w) of pictures of it. hard: the edit that is healed.
    """
    share = len(work.concepts)
    if not method.adversaries:
        return {}
    # Each is a copy of the weights: made once for all concepts, and only where one asks for it.
    base, ruined = (
        cache(partial(as_now, work.model, deltas, method.selector)) for deltas in ({}, hard)
    )
    found = {}
    for i, concept in enumerate(work.concepts):
        wanted = instead(method, work, concept, base, ruined)
        one = _adversary(method, work, concept, latents[i], wanted)
        found[f"against {i}" if share > 1 else "against"] = one.term(method.against / share)
    return found


def _adversary(
    method: TaskVector, work: Work, concept: Concept, latents: Tensor, wanted: Wanted
) -> Adversary:
    """Inputs that follow the edit, an equal share for each concept, in the widest of its spaces."""
    spaces = method.judged_in(concept)
    space: Name = "condition" if "condition" in spaces else "token"
    search = searching.inverter(method, work, concept, space)
    return Adversary(
        work.model,
        [search.space_of(work.model, text) for text in search.texts or (search.template,)],
        latents,
        wanted,
        inputs=-(-method.adversaries // len(work.concepts)),
        lr=search.rate,
        lasting=method.lasting,
        weighting=method.weighting,
        seed=seed_of("adversary", work.seed, concept.name),
    )


def instead(
    method: TaskVector,
    work: Work,
    concept: Concept,
    base: Callable[[], Said],
    ruined: Callable[[], Said],
) -> Wanted:
    """What the edit is to say under an input that follows it, whatever the input asks for.

    What the unedited model says under prompts of other things, as Kumari et al. 2023
    (arXiv:2303.13516) put an anchor in a concept's place, and ``beyond`` as far again from what it
    says under the concept's own: ``p(other) + beyond [p(other) - p(own)]``. Then what a search
    brings out in the end is something else, and no ruin of the concept that would have its shape.

    Under less noise than ``details`` the picture itself tells what it shows, so that an edit which
    says the likeliest for other things restores the concept all the same. There it is to say what
    the hard edit says under the input itself; so at every level for what no prompt names, which
    prompts of other things bring out as well.

    base, ruined: the unedited model, and the hard edit, each called for only where it has a say.
    """
    if concept.kind == "implicit" or method.details >= 1:
        return _under(ruined())
    other = _other(method, work, concept, base())
    return _from(method.details, other, below=_under(ruined())) if method.details else other


def _under(said: Said) -> Wanted:
    """What a model says under the input itself."""

    def wanted(x: Tensor, u: Tensor, condition: Condition, numbers: torch.Generator) -> Tensor:
        return said(x, u, condition)

    return wanted


def _other(method: TaskVector, work: Work, concept: Concept, base: Said) -> Wanted:
    """What the unedited model says under prompts of other things, led away from the concept's."""
    seed = seed_of("anchors", work.seed)
    others = work.model.encode(kept_texts(work.model, work.concepts, ANCHORS, seed)).detach()
    own = work.model.encode(spread(spanning(work.model, concept), OWN, seed=seed)).detach()

    def wanted(x: Tensor, u: Tensor, condition: Condition, numbers: torch.Generator) -> Tensor:
        rows, named = (torch.randint(len(o), (len(u),), generator=numbers) for o in (others, own))
        if not method.beyond:
            return base(x, u, others[rows])
        asked = Condition.cat([others[rows], own[named]])
        other, its = base(torch.cat([x, x]), torch.cat([u, u]), asked).chunk(2)
        return other + method.beyond * (other - its)

    return wanted


def _from(level: float, above: Wanted, *, below: Wanted) -> Wanted:
    """One thing at noise levels from ``level`` on, another below."""

    def wanted(x: Tensor, u: Tensor, condition: Condition, numbers: torch.Generator) -> Tensor:
        found = torch.empty_like(x)
        for rows, one in ((u < level, below), (u >= level, above)):
            if rows.any():
                found[rows] = one(x[rows], u[rows], condition[rows], numbers).to(found)
        return found

    return wanted
