"""The searches of a task vector: inputs that bring a concept out of the model as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from excise.erasers.base import Work
from excise.primitives.inversion import Inversion, Inverter
from excise.primitives.prompts import sentences, template_of
from excise.primitives.spaces import SOFT
from excise.types import Concept, Condition, TextToImage

if TYPE_CHECKING:
    from excise.erasers.task_vector import Name, TaskVector

PLACES = 4
"""Sentences that each soft token is held down in."""


def inputs(
    method: TaskVector,
    work: Work,
    concept: Concept,
    latents: Tensor,
    *,
    seed: int,
    mode: Literal["independent", "repulsed"] = "independent",
    within: Sequence[Name] | None = None,
) -> tuple[Inversion, ...]:
    """``embeddings`` inputs, one set a space; soft tokens that serve in all of its sentences.

    latents: (n, c, h, w) of pictures that show the concept. mode: of `Inverter`; repulsed from one
    another and from the concept's own word. within: spaces; by default the method's.
    """
    spaces = method.searched[0] if within is None else within
    found = []
    for i, space in enumerate(spaces):
        search = inverter(method, work, concept, space)
        found.append(
            replace(search, mode=mode).run(
                work.model,
                latents,
                restarts=max(1, len(range(i, method.embeddings, len(spaces)))),
                seed=seed,
                word=concept.name if mode == "repulsed" else None,
                progress=work.progress,
                stages=work.stages,
            )
        )
    return tuple(found)


def inverter(method: TaskVector, work: Work, concept: Concept, space: Name) -> Inverter:
    """The search in one of the spaces: soft tokens serve in all of its sentences, or in one."""
    _, tokens, spread = method.searched
    template = template_of(concept)
    return Inverter(
        space=space,
        steps=method.inversion_steps,
        samples=method.samples,
        tokens=tokens,
        template=template if template != SOFT else f"a picture of {SOFT}",
        texts=sentences(work.model, concept) if spread and space == "token" else (),
        weighting=method.weighting,
    )


def in_sentences(model: TextToImage, found: Inversion) -> Condition:
    """What was found, as it stands in prompts: soft tokens in `PLACES` texts each, in turn.

    An input that is held down in one sentence alone comes back in others.
    """
    texts = found.settings["texts"]
    if not texts:
        return found.conditions(model).detach()
    placed: dict[str, list[int]] = {}
    for i in range(PLACES * len(found)):
        placed.setdefault(texts[i % len(texts)], []).append(i // PLACES)
    parts = [found.take(rows).conditions(model, text) for text, rows in placed.items()]
    return Condition.cat(parts).detach()
