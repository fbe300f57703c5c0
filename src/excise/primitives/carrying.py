"""What was found on one model, on another: a few further steps, or none."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.inversion import Inversion, Inverter
from excise.settings import build
from excise.types import Progress, TextToImage, digest


def carry(
    model: TextToImage,
    inversion: Inversion,
    latents: Tensor,
    steps: int,
    *,
    lr: float | None = None,
    seed: int = 0,
    bank: Bank | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """A few further steps of a search, usually on a model that was edited since.

    The settings are the inversion's own, at a constant learning rate ``lr`` (by default a fifth of
    its own), without warm-up and without repulsion.
    """
    own = build(Inverter, inversion.settings)
    settings = replace(
        own,
        steps=steps,
        lr=own.rate / 5 if lr is None else lr,
        warmup=0,
        schedule="constant",
        mode="independent",
    )
    return settings.run(
        model,
        latents,
        restarts=len(inversion),
        seed=seed,
        start=inversion,
        bank=bank,
        progress=progress,
    )


def replay(
    model: TextToImage, inversion: Inversion, latents: Tensor, bank: Bank | None = None
) -> Inversion:
    """The same inputs with their losses on a model as it is now; a screen, not evidence."""
    settings = build(Inverter, inversion.settings)
    bank = Bank.of(latents, settings.bank) if bank is None else bank
    table = concept_loss(
        model,
        latents,
        inversion.conditions(model),
        bank,
        guidance=settings.guidance,
        batch=settings.batch,
    )
    return replace(
        inversion,
        losses=table,
        curves=torch.empty(len(inversion), 0),
        pictures=digest(latents),
        bank=bank.digest,
        edits=model.edits,
    )
