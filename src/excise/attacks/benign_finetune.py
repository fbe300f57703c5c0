"""Benign fine-tuning: pictures that have nothing to do with the concept, and it comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from excise.attacks.base import Budget, Need
from excise.attacks.changing import ChangingAttack, Point
from excise.edit import Edit, Recipe
from excise.errors import BadSetting
from excise.primitives.adapting import adapted, harmless
from excise.primitives.attackers import unedited
from excise.primitives.data import drawn
from excise.primitives.denoising import Weighting
from excise.primitives.parametrise import Full, LowRank
from excise.primitives.prompts import completed
from excise.progress import SILENT, stage
from excise.rng import seed_of
from excise.types import Concept, Progress, Request, TextToImage


@dataclass(frozen=True, kw_only=True)
class BenignFinetune(ChangingAttack):
    """Fine-tunes on what is neither erased nor near it, for rising numbers of steps.

    Concept resurgence (arXiv:2410.08074): nobody means any harm, and the unlearned concept is
    drawn again. The pictures are the unedited model's where it is at hand, else the model's own.

    steps: the numbers of steps; 0 is the model as it was handed over. Each is a run of its own and
        the beginning of the next. pictures: how many. adapter: all weights, or a ``lora``.
    rank: of the LoRA. selector: the weights that move. batch, lr, weighting: of the fine-tune.
    guidance: of the prediction that is matched where the edit has hooks.
    """

    name: ClassVar[str] = "benign_finetune"
    paper: ClassVar[str] = "Suriyakumar et al. 2024, arXiv:2410.08074"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "weights"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"steps": (0, 25, 100), "pictures": 32},
        "standard": {"steps": (0, 50, 200), "pictures": 64},
        "thorough": {"steps": (0, 125, 250, 500, 1000), "pictures": 256},
    }
    smallest: ClassVar[Mapping[str, object]] = {"steps": (0, 2), "pictures": 2, "batch": 2}

    steps: tuple[int, ...] = (0, 50, 200)
    pictures: int = 64
    batch: int = 4
    lr: float = 1e-5
    adapter: Literal["full", "lora"] = "full"
    rank: int = 4
    selector: tuple[str, ...] = ("denoiser",)
    weighting: Weighting = "uniform"
    guidance: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not self.steps or min(self.steps) < 0 or list(self.steps) != sorted({*self.steps}):
            raise BadSetting(f"{self.name}: expected rising steps >= 0, got {self.steps}")
        self._at_least(1, "pictures", "batch", "rank")
        self._among("adapter", ("full", "lora"))

    @property
    def candidates(self) -> int:
        """One for each number of steps."""
        return len(self.steps)

    @property
    def gradients(self) -> int:
        """Each number of steps is a run of its own."""
        return sum(self.steps) * self.batch

    def points(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[Point]:
        """One fine-tune for each number of steps."""
        if self.steps[0] == 0:
            yield Point(label="as handed over", cost={"pictures": 0, "steps": 0})
        if self.steps[-1] == 0:
            return
        wanted = tuple(completed(model, concept) for concept in concepts)
        request = self.request(model, wanted, seed)
        with stage(progress or SILENT, "draw unrelated pictures"):
            latents, _ = drawn(unedited(model, base) or model, request)
        for steps in (n for n in self.steps if n > 0):
            before = model.costs
            tuned = adapted(
                model,
                latents,
                request.prompts,
                selector=self.selector,
                parametrisation=LowRank(rank=self.rank) if self.adapter == "lora" else Full(),
                steps=steps,
                batch=self.batch,
                lr=self.lr,
                weighting=self.weighting,
                guidance=self.guidance,
                seed=seed,
                progress=progress,
            )
            edit = Edit.of(model, tuned.encoded, recipe=Recipe.of(self, wanted, seed=seed))
            yield Point(
                label=f"{steps} steps",
                cost={"pictures": len(latents), "steps": steps},
                edit=edit,
                spent=model.costs - before,
            )

    def request(self, model: TextToImage, concepts: tuple[Concept, ...], seed: int) -> Request:
        """What draws the pictures: unrelated things in turn, from one that the seed decides."""
        texts = harmless(model, concepts)
        first = seed_of("benign", seed) % len(texts)
        prompts = tuple(texts[(first + i) % len(texts)] for i in range(self.pictures))
        seeds = tuple(seed_of("benign", seed, i) for i in range(self.pictures))
        return Request(prompts=prompts, seeds=seeds)
