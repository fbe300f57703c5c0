"""Relearning: a few pictures of the concept, and a LoRA trained on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from excise.attacks.base import Budget, Need
from excise.attacks.changing import ChangingAttack, Point
from excise.edit import Edit, Recipe
from excise.errors import BadSetting
from excise.primitives.adapting import adapted
from excise.primitives.attackers import Share, attackers_latents
from excise.primitives.data import spread
from excise.primitives.denoising import Weighting
from excise.primitives.parametrise import LowRank
from excise.primitives.prompts import completed, spanning
from excise.types import Concept, Progress, TextToImage


@dataclass(frozen=True, kw_only=True)
class Relearn(ChangingAttack):
    """Fine-tunes the model under attack on k pictures of the concept, for rising k.

    The instance-personalisation probe: whoever has pictures can teach any model anything, so what
    counts is how much sooner the edited model is back than the oracle, which learns the concept for
    the first time. Pictures are captioned with the concept's own prompts. The k pictures are the
    first of the k + 1.

    shots: the numbers k; 0 is the model as it was handed over. steps, batch, lr, weighting: of the
        fine-tune, the same for every k. rank: of the LoRA. selector: the weights that it is on.
    guidance: of the step that is matched where the edit has hooks, as `InvertingAttack`.
    share: which of the concept's pictures are the attacker's.
    """

    name: ClassVar[str] = "relearn"
    paper: ClassVar[str] = "Liu and Zhang 2025, arXiv:2505.16174"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "pictures", "weights"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"shots": (0, 1, 8), "steps": 50},
        "standard": {"shots": (0, 1, 4, 16), "steps": 100},
        "thorough": {"shots": (0, 1, 2, 4, 8, 16, 32), "steps": 500},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "shots": (0, 1), "steps": 2, "batch": 2, "rank": 1,
    }  # fmt: skip

    shots: tuple[int, ...] = (0, 1, 4, 16)
    steps: int = 100
    batch: int = 4
    lr: float = 1e-4
    rank: int = 4
    selector: tuple[str, ...] = ("cross_attention", "self_attention")
    weighting: Weighting = "uniform"
    guidance: float | None = None
    share: Share = "attack"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not self.shots or min(self.shots) < 0 or list(self.shots) != sorted({*self.shots}):
            raise BadSetting(f"{self.name}: expected rising shots >= 0, got {self.shots}")
        self._at_least(1, "steps", "batch", "rank")

    @property
    def candidates(self) -> int:
        """One for each k."""
        return len(self.shots)

    @property
    def gradients(self) -> int:
        """A fine-tune for each k but 0."""
        return sum(k > 0 for k in self.shots) * self.steps * self.batch

    def points(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[Point]:
        """One fine-tune for each k that there are pictures for."""
        concept = completed(model, concepts[0])
        if self.shots[0] == 0:
            yield Point(label="as handed over", cost={"pictures": 0, "steps": 0})
        shots = [k for k in self.shots if k > 0]
        if not shots:
            return
        latents = attackers_latents(
            model, concept, base, shots[-1], share=self.share, seed=seed, progress=progress
        )
        texts = spread(spanning(model, concept), len(latents), seed=seed, split="relearn")
        for k in sorted({min(k, len(latents)) for k in shots}):
            before = model.costs
            tuned = adapted(
                model,
                latents[:k],
                texts[:k],
                selector=self.selector,
                parametrisation=LowRank(rank=self.rank),
                steps=self.steps,
                batch=self.batch,
                lr=self.lr,
                weighting=self.weighting,
                guidance=self.guidance,
                seed=seed,
                progress=progress,
            )
            edit = Edit.of(model, tuned.encoded, recipe=Recipe.of(self, (concept,), seed=seed))
            yield Point(
                label=f"{k} picture{'s' * (k > 1)}",
                cost={"pictures": k, "steps": self.steps},
                edit=edit,
                spent=model.costs - before,
            )
