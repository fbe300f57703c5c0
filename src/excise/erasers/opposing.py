"""What follows an edit as it heals, and searches for what is left of a concept.

Every search by itself ends where the edit was when it began. Those that go on while the edit is
trained leave it no place that nobody looks at; see `Adversary`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from excise.erasers import searching
from excise.erasers.base import Work
from excise.primitives.adversary import Adversary, Wanted, as_now
from excise.primitives.finetune import Term
from excise.primitives.healing import kept_texts
from excise.rng import seed_of
from excise.types import Concept, Condition

if TYPE_CHECKING:
    from excise.erasers.task_vector import Name, TaskVector

ANCHORS = 256
"""Prompts of other things, which stand in a concept's place."""


def opponents(
    method: TaskVector, work: Work, latents: Sequence[Tensor], hard: Mapping[str, Tensor]
) -> dict[str, Term]:
    """A term for each concept, all of them with ``adversaries`` inputs and ``against`` in weight.

    latents: by concept, (n, c, h, w) of pictures of it. hard: the edit that is healed.
    """
    share = len(work.concepts)
    if not method.adversaries:
        return {}
    named = [concept.kind != "implicit" for concept in work.concepts]
    wanted = {one: instead(method, work, hard, one) for one in dict.fromkeys(named)}
    found = {}
    for i, concept in enumerate(work.concepts):
        one = _adversary(method, work, concept, latents[i], wanted[named[i]])
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


def instead(method: TaskVector, work: Work, hard: Mapping[str, Tensor], named: bool) -> Wanted:
    """What the edit is to say under an input that follows it, whatever the input asks for.

    What the unedited model says under prompts of other things, as Kumari et al. 2023
    (arXiv:2303.13516) put an anchor in a concept's place: then what a search brings out in the end
    is something else, and no ruin of the concept that would have its shape. What no prompt names,
    those prompts bring out as well; there it is what the hard edit says.
    """
    said = as_now(work.model, {} if named else hard, method.selector)
    if not named:
        return lambda x, u, condition, numbers: said(x, u, condition)
    texts = kept_texts(work.model, work.concepts, ANCHORS, seed_of("anchors", work.seed))
    others = work.model.encode(texts).detach()

    def anchored(x: Tensor, u: Tensor, condition: Condition, numbers: torch.Generator) -> Tensor:
        rows = torch.randint(len(others), (len(u),), generator=numbers)
        return said(x, u, others[rows])

    return anchored
