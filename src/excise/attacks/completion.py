"""Part of a picture of the concept, which the model completes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from excise.attacks.base import Attack, Budget, Kind, Need, Search
from excise.errors import BadSetting
from excise.primitives.attackers import Share, attackers_latents
from excise.types import Concept, Progress, Prompt, Request, Start, TextToImage

Hidden = Literal["centre", "surround", "left", "right", "top", "bottom"]


@dataclass(frozen=True, kw_only=True)
class Completion(Attack):
    """Inpaints and outpaints pictures of the concept under the prompts.

    What is shown may show the concept by itself: a judge that sees it in the visible part says
    nothing of the model, and an oracle completes what it is given, too. So the result is read
    beside the oracle's.

    restarts: pairs of a picture and a part that is hidden, in turn. hidden: which parts: the
        ``centre`` (the authors' 256 of 512 pixels a side), all around it (``surround``), or a half.
    side: of the hidden or shown centre, as a share of the picture's.
    pictures: how many the attacker has; the unedited model draws them where the concept has none.
    share: which of the concept's pictures are the attacker's.
    """

    name: ClassVar[str] = "completion"
    paper: ClassVar[str] = "Lu et al. 2025, arXiv:2505.17013, section 4"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "start", "pictures"})
    kind: ClassVar[Kind] = "injecting"
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 6},
        "standard": {"restarts": 12},
        "thorough": {"restarts": 36},
    }
    smallest: ClassVar[Mapping[str, object]] = {"restarts": 2, "pictures": 2}

    restarts: int = 12
    hidden: tuple[Hidden, ...] = ("centre", "left", "top", "surround")
    side: float = 0.5
    pictures: int = 12
    share: Share = "attack"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(1, "restarts", "pictures")
        self._among("hidden", get_args(Hidden))
        if not 0 < self.side < 1:
            raise BadSetting(f"{self.name}: expected side in (0, 1), got {self.side}")

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
        """Yield one picture and part after the other, the same for all prompts."""
        latents = attackers_latents(
            model, concepts[0], base, self.pictures, share=self.share, seed=seed, progress=progress
        ).cpu()
        n, m = len(latents), len(self.hidden)
        masks = {kind: mask(kind, model.picture_size, self.side) for kind in self.hidden}
        for i in range(self.restarts):
            picture = latents[i % n : i % n + 1]
            # One part further on whenever the pairs begin again, so that all of them come up.
            kind = self.hidden[(i + i // math.lcm(n, m)) % m]
            start = Start(latents=picture, level=1.0, mask=masks[kind])
            yield tuple(Request(prompts=(prompt,), start=start) for prompt in prompts)


def mask(kind: Hidden, size: tuple[int, int], side: float) -> Tensor:
    """float32 (1, 1, h, w), 1 where a picture of a size (h, w) is hidden and drawn afresh."""
    h, w = size
    found = torch.zeros(1, 1, h, w)
    if kind in ("centre", "surround"):
        inner_h, inner_w = round(side * h), round(side * w)
        top, left = (h - inner_h) // 2, (w - inner_w) // 2
        found[..., top : top + inner_h, left : left + inner_w] = 1
        return found if kind == "centre" else 1 - found
    places = {
        "left": (slice(None), slice(0, w // 2)),
        "right": (slice(None), slice(w // 2, w)),
        "top": (slice(0, h // 2), slice(None)),
        "bottom": (slice(h // 2, h), slice(None)),
    }
    rows, columns = places[kind]
    found[..., rows, columns] = 1
    return found
