"""A scar: does the edit explain the concept's pictures worse than a model that never saw them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from excise.method import Budget
from excise.metrics.base import BASE, EDIT, ORACLE, Metric, Work, mean_interval, rate_json
from excise.primitives.data import concept_pictures
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.prompts import completed, naming
from excise.types import Concept, Prompt, TextToImage

# What the pictures are shown with: their own names, or nothing.
CAPTIONS = ("named", "empty")


@dataclass(frozen=True, kw_only=True)
class OverErasure(Metric):
    """The denoising loss on pictures of the concept, paired by picture, noise and level.

    The pictures are the concept's own, or drawn by the base; none that the edit was made from, and
    none that an attacker has.
    Where the edit's loss lies above the oracle's, the concept has become less likely than it is to
    a model that never saw it, and that shows.

    pictures: how many. entries: of the bank of (picture, noise, level), a picture. captions: how
    many of the concept's prompts. level: of the intervals, which are across pictures.
    """

    name: ClassVar[str] = "over_erasure"
    budgets: ClassVar[Mapping[Budget, int]] = {"quick": 12, "standard": 32, "thorough": 96}

    pictures: int = 32
    entries: int = 4
    captions: int = 3
    level: float = 0.95

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By concept, with its name and with none: losses by model, and paired differences."""
        return {"concepts": {c.name: self._of(work, c) for c in work.concepts}}

    def _of(self, work: Work, concept: Concept) -> dict[str, Any]:
        full = completed(work.plain, concept)
        source = work.arms.get(BASE, work.arms[EDIT])
        with source.live() as model:
            made = concept_pictures(
                model, full, self.pictures, split="test", seed=work.seed, progress=work.progress
            )
        bank = Bank.of(made.latents, self.entries * len(made), seed=work.seed)
        texts = naming(work.plain, full)[: self.captions]
        found: dict[str, Any] = {"pictures": len(made), "hashes": list(made.hashes)}
        for caption, prompts in zip(CAPTIONS, (texts, (Prompt(""),)), strict=True):
            losses = {}
            for arm, place in work.arms.items():
                with place.live() as model:
                    losses[arm] = caption_loss(model, made.latents, prompts, bank)
            found[caption] = self._compared(losses, bank.picture.tolist())
        return found

    def _compared(self, losses: Mapping[str, Tensor], picture: list[int]) -> dict[str, Any]:
        found: dict[str, Any] = {
            arm: rate_json(mean_interval(loss.numpy(), picture, self.level))
            for arm, loss in losses.items()
        }
        for other in (BASE, ORACLE):
            if other in losses:
                gap = losses[EDIT] - losses[other]
                found[f"edit - {other}"] = rate_json(
                    mean_interval(gap.numpy(), picture, self.level)
                )
        return found


@torch.no_grad()
def caption_loss(
    model: TextToImage, latents: Tensor, prompts: Sequence[Prompt], bank: Bank
) -> Tensor:
    """The loss of each entry of a bank over latents (n, c, h, w), averaged over prompts: (B,)."""
    words = tuple(prompts)
    return concept_loss(model, latents, model.encode(words), bank, prompts=words).mean(dim=0)
