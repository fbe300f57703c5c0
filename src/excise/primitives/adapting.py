"""What anybody does with a model that was handed over: fine-tune it on pictures and their texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from excise.primitives.denoising import Weighting, level_weights, losses, mapped
from excise.primitives.finetune import Draw, Optimiser, Term, Tuned, finetune
from excise.primitives.losses import draw_levels
from excise.primitives.parametrise import Parametrisation
from excise.primitives.prompts import COMMON_OBJECTS, unrelated
from excise.types import Concept, Progress, Prompt, Selector, TextToImage, fill


def harmless(model: TextToImage, concepts: Sequence[Concept]) -> tuple[Prompt, ...]:
    """Prompts of what is neither erased nor near it; common things if the model knows no others."""
    if found := unrelated(model, concepts):
        return found
    near = {name for c in concepts for name in (*c.names, *c.held_back, *c.neighbours)}
    names = [name for name in COMMON_OBJECTS if name not in near]
    return tuple(Prompt(fill("a picture of {a}", name)) for name in names)


def adapted(
    model: TextToImage,
    latents: Tensor,
    prompts: Sequence[Prompt],
    *,
    selector: Selector,
    parametrisation: Parametrisation,
    steps: int,
    batch: int,
    lr: float,
    weighting: Weighting = "uniform",
    guidance: float | None = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tuned:
    """Descend on the denoising loss of pictures, through whatever hooks the model has.

    latents: (n, c, h, w). prompts: one a picture. The run is a function of (seed, step): the first
    half of a longer run is a shorter one. The model is left as it was.

    guidance: of the step that is matched where there are hooks; 1, as whoever trains has it who
        knows nothing of them, or None, as `guidance_for` says.

    Raises:
        NumericalError: a loss is not finite. As `finetune`.
    """
    with torch.no_grad():
        cond, null = mapped(model, model.encode(tuple(prompts)).detach(), tuple(prompts))

    def loss(draw: Draw) -> Tensor:
        numbers = draw.generator
        rows = draw.rows(len(latents), batch)
        x0 = latents[rows.to(latents.device)].to(model.device)  # (batch, c, h, w)
        eps = torch.randn(x0.shape, generator=numbers).to(model.device)
        u = draw_levels(model, batch, numbers)
        if model.hooks:
            u = u[:1].expand(batch)  # a guided step, which hooks see, has one level
        errors = losses(model, x0, eps, u, cond, null, rows=rows, guidance=guidance)
        return (level_weights(model, u, weighting) * errors).mean()

    return finetune(
        model,
        selector,
        {"pictures": Term(loss=loss)},
        steps=steps,
        optimiser=Optimiser(lr=lr),
        seed=seed,
        parametrisation=parametrisation,
        progress=progress,
    )
