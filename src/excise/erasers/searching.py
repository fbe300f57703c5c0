"""The searches of a task vector: inputs that bring a concept out of the model as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor

from excise.erasers.base import Work
from excise.primitives.inversion import Inversion, Inverter
from excise.primitives.prompts import template_of
from excise.primitives.spaces import SOFT
from excise.types import Concept

if TYPE_CHECKING:
    from excise.erasers.task_vector import TaskVector


def inputs(
    method: TaskVector,
    work: Work,
    concept: Concept,
    latents: Tensor,
    *,
    seed: int,
    mode: Literal["independent", "repulsed"] = "independent",
) -> tuple[Inversion, ...]:
    """``embeddings`` inputs, one set a space.

    latents: (n, c, h, w) of pictures that show the concept. mode: of `Inverter`; repulsed from one
    another and from the concept's own word.
    """
    n = len(method.spaces)
    template = template_of(concept)
    found = []
    for i, space in enumerate(method.spaces):
        search = Inverter(
            space=space,
            steps=method.inversion_steps,
            samples=method.samples,
            tokens=method.tokens,
            template=template if template != SOFT else f"a picture of {SOFT}",
            weighting=method.weighting,
            mode=mode,
        )
        found.append(
            search.run(
                work.model,
                latents,
                restarts=max(1, len(range(i, method.embeddings, n))),
                seed=seed,
                word=concept.name if mode == "repulsed" else None,
                progress=work.progress,
                stages=work.stages,
            )
        )
    return tuple(found)
