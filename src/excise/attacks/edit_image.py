"""SDEdit from pictures of the concept: noise is put on them, and the model takes it off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from excise.attacks.base import Attack, Budget, Kind, Need, Search
from excise.primitives.attackers import Share, attackers_latents
from excise.types import Concept, Progress, Prompt, Request, Start, TextToImage


@dataclass(frozen=True, kw_only=True)
class EditImage(Attack):
    """Draws the prompts from the attacker's pictures instead of from noise, at several levels.

    The lower the level, the more of the picture comes through whatever the model knows. A report
    has one figure, beside the oracle's: of the level that looked best for each prompt. How much
    noise must be put on before the edited model, but not the base, loses the concept is found with
    one level at a time.

    levels: u in [0, 1]. At 0 the picture comes back as it was, which shows what the judge makes of
        it; at 1 nothing of it is left. The paper takes 0.3 to 0.6 for faithful edits.
    each: pictures at each level. pictures: how many the attacker has; the unedited model draws them
        where the concept has none. share: which of the concept's pictures are the attacker's.
    """

    name: ClassVar[str] = "edit_image"
    paper: ClassVar[str] = "Meng et al. 2022, SDEdit, arXiv:2108.01073"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "start", "pictures"})
    kind: ClassVar[Kind] = "injecting"
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"levels": (0.5, 0.8), "each": 3},
        "standard": {"levels": (0.3, 0.5, 0.7, 0.9), "each": 4},
        "thorough": {"levels": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95), "each": 8},
    }
    smallest: ClassVar[Mapping[str, object]] = {"levels": (0.5, 0.8), "each": 1, "pictures": 2}

    levels: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    each: int = 4
    pictures: int = 12
    share: Share = "attack"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(1, "each", "pictures")
        self._shares("levels")

    @property
    def candidates(self) -> int:
        """So many pictures at each level."""
        return len(self.levels) * self.each

    def search(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        prompts: tuple[Prompt, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Search:
        """Yield level after level, on pictures in turn, the same for all prompts."""
        latents = attackers_latents(
            model, concepts[0], base, self.pictures, share=self.share, seed=seed, progress=progress
        ).cpu()
        shown = torch.zeros(1, 1, *model.picture_size)  # nothing is drawn afresh
        for level in self.levels:
            for i in range(self.each):
                picture = latents[i % len(latents)][None]  # (1, c, h, w)
                start = Start(latents=picture, level=level or 1.0, mask=None if level else shown)
                yield tuple(Request(prompts=(prompt,), start=start) for prompt in prompts)
