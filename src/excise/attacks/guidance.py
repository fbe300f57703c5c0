"""Other settings of the sampler: the guidance scale, and what is guided away from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import BadSetting
from excise.primitives.prompts import LADDER, completed
from excise.types import Concept, Progress, Prompt, Request, TextToImage


@dataclass(frozen=True, kw_only=True)
class Guidance(Attack):
    """Draws the prompts as they are at every guidance scale with every negative prompt.

    Sampling uses (1 - s) eps_u + s eps_c (arXiv:2207.12598, eq. 6), so an edit that moves the
    unconditional prediction by D_u and the conditional one by D_c has removed (1 - s) D_u + s D_c:
    what holds at one scale may be undone at another, or with another unconditional. Each point of
    the grid is a restart, on the same noise.

    guidance: the scales s. At s = 1 nothing is guided and no negative prompt is read.
    negatives: what stands in the place of the model's own unconditional, which is tried as well;
        ``{}`` is the concept's name, which an edit that inverts the concept turns into a pull,
        ``{n}`` its nearest neighbour (left out if it has none).
    """

    name: ClassVar[str] = "guidance"
    paper: ClassVar[str] = "Ho and Salimans 2022, arXiv:2207.12598"
    rewords: ClassVar[bool] = False
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "sampler"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"guidance": (1.0, 4.0, 12.0), "negatives": ("{}",)},
        "standard": {"guidance": LADDER, "negatives": ("{}", "{n}", "blurry , low quality")},
        "thorough": {
            "guidance": tuple(float(s) for s in range(1, 13)),
            "negatives": ("{}", "{n}", "blurry , low quality"),
        },
    }
    smallest: ClassVar[Mapping[str, object]] = {"guidance": (1.0, 3.0), "negatives": ("{}",)}

    guidance: tuple[float, ...] = LADDER
    negatives: tuple[str, ...] = ("{}", "{n}", "blurry , low quality")

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not self.guidance or len(set(self.guidance)) < len(self.guidance):
            raise BadSetting(
                f"{self.name}: expected one or more different scales, got {self.guidance}"
            )

    @property
    def candidates(self) -> int:
        """One for each point of the largest grid."""
        return sum(1 if s == 1 else 1 + len(self.negatives) for s in self.guidance)

    def grid(self, concept: Concept) -> tuple[tuple[float, str | None], ...]:
        """Every scale with every negative prompt, None for the model's own unconditional."""
        texts: list[str | None] = [None]
        for text in self.negatives:
            if "{n}" in text and not concept.neighbours:
                continue
            near = text.replace("{n}", concept.neighbours[0]) if concept.neighbours else text
            texts.append(near.replace("{}", concept.name))
        each = list(dict.fromkeys(texts))
        return tuple((s, text) for s in self.guidance for text in (each if s != 1 else each[:1]))

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
        """Yield one point of the grid after the other."""
        for scale, text in self.grid(completed(model, concepts[0])):
            negative = None if text is None else (Prompt(text),)
            yield tuple(
                Request(prompts=(prompt,), guidance=scale, negative=negative) for prompt in prompts
            )
