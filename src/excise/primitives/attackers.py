"""What an attacker owns: pictures of the concept that no eraser has seen."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from excise.errors import BadConcept
from excise.primitives.data import concept_pictures
from excise.types import Concept, Progress, TextToImage

Share = Literal["attack", "all"]
"""Of given pictures: the part that no eraser sees, or all, where they are the attacker's own."""


def attackers_latents(
    model: TextToImage,
    concept: Concept,
    base: TextToImage | None,
    n: int,
    *,
    share: Share = "attack",
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    """The attacker's pictures, encoded: float32 (m, c, h, w), m <= ``n`` but for ``all``.

    The concept's own pictures; without any, the unedited model draws ``n``.

    Raises:
        BadConcept: the concept has none, and there is no unedited model to draw them.
    """
    if concept.pictures is not None and share == "all":
        with torch.no_grad():
            parts = torch.split(concept.pictures, 16)
            return torch.cat([model.encode_pictures(part) for part in parts])
    if concept.pictures is None and unedited(model, base) is None:
        raise BadConcept(
            f"expected pictures of {concept.name!r}, or an unedited model that draws them, got "
            "neither; give the attack's concept pictures"
        )
    source = model if concept.pictures is not None or base is None else base
    return concept_pictures(
        source, concept, n, split="attack", seed=seed, progress=progress
    ).latents


def unedited(model: TextToImage, base: TextToImage | None) -> TextToImage | None:
    """The unedited model, if it is at hand: not where it is the edited one with its edit on."""
    return None if base is None or (base is model and model.edits) else base
