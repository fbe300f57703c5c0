"""What attacks have in common that invert the concept's pictures on the model under attack."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import BadSetting
from excise.primitives.attackers import Share, attackers_latents
from excise.primitives.denoising import Weighting
from excise.primitives.inversion import Inverter
from excise.primitives.prompts import placed
from excise.primitives.spaces import SOFT
from excise.types import Concept, Progress, Prompt, TextToImage


@dataclass(frozen=True, kw_only=True)
class InvertingAttack(Attack):
    """A subclass says what is `searched`, with fields of its own.

    In prompts that name the concept its name gives way to the soft tokens; to others they are
    joined. A whole conditioning replaces every prompt.

    restarts: N, all in one search. steps, samples, lr, weighting, init, batch: as `Inverter`.
        ``thorough`` has the 5,000 steps of four pictures, accumulated over four, of Concept
        Inversion's authors, who have one restart. Their learning rate is in another unit: sweep it.
    join: how ``<1>`` is added to a prompt ``{}`` that does not name the concept.
    spread: search in the very prompts in turn; without it, in the template alone.
    pictures: how many the unedited model draws where the concept has none.
    share: ``attack`` takes the part of the concept's pictures that no eraser sees; ``all`` takes
        all of them, for pictures that are the attacker's own.
    guidance: of the step that is matched where the edit has hooks; left out, the model's own where
        they act on guided steps, as `guidance_for` says.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"embeddings", "gradients", "pictures"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 3, "steps": 150},
        "standard": {"restarts": 12, "steps": 400},
        "thorough": {"restarts": 12, "steps": 5000, "samples": 16},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "restarts": 2, "steps": 2, "samples": 1, "pictures": 2,
    }  # fmt: skip

    restarts: int = 12
    steps: int = 400
    samples: int = 4
    lr: float | None = None
    weighting: Weighting = "uniform"
    init: str = ""
    join: str = "{} <1>"
    spread: bool = True
    pictures: int = 64
    share: Share = "attack"
    guidance: float | None = None
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse values out of range; the `Inverter` refuses the rest."""
        self._at_least(1, "restarts", "pictures")
        if "{}" not in self.join or SOFT not in self.join:
            raise BadSetting(
                f"{self.name}: expected join to hold {{}} and {SOFT}, got {self.join!r}"
            )

    @abstractmethod
    def searched(self, concept: Concept) -> Inverter:
        """What is searched, without the settings that all of these attacks have."""

    def inverter(self, concept: Concept) -> Inverter:
        """The search."""
        return replace(
            self.searched(concept),
            init=self.init,
            steps=self.steps,
            samples=self.samples,
            lr=self.lr,
            weighting=self.weighting,
            guidance=self.guidance,
            batch=self.batch,
        )

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
        """Invert the first concept's pictures, and yield one restart after the other."""
        concept = concepts[0]
        search = self.inverter(concept)
        texts = [placed(prompt.text, concept, self.join) for prompt in prompts]
        if self.spread and search.space == "token":
            search = replace(search, texts=tuple(dict.fromkeys(texts)))
        found = search.run(
            model,
            self.latents(model, concept, base, seed, progress),
            restarts=self.restarts,
            seed=seed,
            word=concept.name if search.mode == "repulsed" else None,
            progress=progress,
        )
        for row in range(len(found)):
            if search.space in ("token", "simplex"):
                yield tuple(found.request(model, row, text) for text in texts)
            else:
                yield (found.request(model, row),) * len(prompts)

    def latents(
        self,
        model: TextToImage,
        concept: Concept,
        base: TextToImage | None,
        seed: int,
        progress: Progress | None,
    ) -> Tensor:
        """The attacker's pictures, encoded: (n, c, h, w).

        Raises:
            BadConcept: the concept has none, and there is no unedited model to draw them.
        """
        return attackers_latents(
            model, concept, base, self.pictures, share=self.share, seed=seed, progress=progress
        )
