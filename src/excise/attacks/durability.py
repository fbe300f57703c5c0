"""What becomes of a model that is handed over: another sampler, other precision, a LoRA on top."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from excise.attacks.base import Budget, Need
from excise.attacks.changing import ChangingAttack, Point
from excise.edit import Edit, Recipe
from excise.primitives.adapting import adapted, harmless
from excise.primitives.attackers import unedited
from excise.primitives.data import drawn
from excise.primitives.parametrise import LowRank
from excise.primitives.prompts import completed
from excise.rng import seed_of
from excise.types import Concept, Progress, Request, TextToImage

Precision = Literal["float16", "bfloat16", "int8"]


@dataclass(frozen=True, kw_only=True)
class Durability(ChangingAttack):
    """Draws the prompts after each of the things that users of a model do to it.

    Schedulers of the model's family; the denoiser's weights rounded to half precision, or quantised
    to 8 bits and back; a LoRA for something else, trained on the unedited model as such LoRAs are,
    and stacked on the model under attack. What is rounded is the edited weight: an edit that hides
    in the last bits does not survive it. Hooks keep their own precision.

    schedulers: names that the family does not know are left out. precisions: of the denoiser's
        weights. stacked: steps of the LoRA's training; 0, or no unedited model, leaves it out.
    rank, lr, batch, pictures: of the LoRA.
    """

    name: ClassVar[str] = "durability"
    paper: ClassVar[str] = "the checks of any edit; Jacob et al. 2018, arXiv:1712.05877"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "sampler", "weights"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"schedulers": ("euler_a",), "precisions": ("int8",), "stacked": 0},
        "standard": {
            "schedulers": ("ddim", "euler", "euler_a"),
            "precisions": ("float16", "int8"),
            "stacked": 100,
        },
        "thorough": {
            "schedulers": ("ddim", "ddpm", "dpm++", "euler", "euler_a", "unipc"),
            "precisions": ("float16", "bfloat16", "int8"),
            "stacked": 500,
        },
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "schedulers": ("euler",), "stacked": 2, "pictures": 2, "batch": 2, "rank": 1,
    }  # fmt: skip

    schedulers: tuple[str, ...] = ("ddim", "euler", "euler_a")
    precisions: tuple[Precision, ...] = ("float16", "int8")
    stacked: int = 100
    rank: int = 4
    lr: float = 1e-4
    batch: int = 4
    pictures: int = 16

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.precisions:
            self._among("precisions", get_args(Precision))
        self._at_least(0, "stacked")
        self._at_least(1, "rank", "batch", "pictures")

    @property
    def candidates(self) -> int:
        """The model as it is, and one for each change."""
        return 1 + len(self.schedulers) + len(self.precisions) + (self.stacked > 0)

    @property
    def gradients(self) -> int:
        """Those of the LoRA's training."""
        return self.stacked * self.batch

    def points(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[Point]:
        """The model as it is, then each change by itself."""
        yield Point(label="as handed over")
        known = getattr(model, "schedulers", {})
        for name in (n for n in self.schedulers if n in known):
            yield Point(label=f"scheduler {name}", scheduler=name)
        wanted = tuple(completed(model, concept) for concept in concepts)
        made = Recipe.of(self, wanted, seed=seed)
        for precision in self.precisions:
            yield Point(
                label=f"weights in {precision}",
                edit=Edit.of(model, rounding(model, precision), recipe=made),
            )
        own = unedited(model, base)
        if self.stacked and own is not None:
            before = own.costs
            deltas = self._lora(own, wanted, seed, progress)
            yield Point(
                label="a LoRA for something else",
                cost={"pictures": self.pictures, "steps": self.stacked},
                edit=Edit.of(model, deltas, recipe=made),
                spent=own.costs - before,
            )

    def _lora(
        self,
        base: TextToImage,
        concepts: tuple[Concept, ...],
        seed: int,
        progress: Progress | None,
    ) -> Mapping[str, Tensor]:
        """A LoRA that teaches the unedited model one unrelated thing, from its own pictures."""
        text = harmless(base, concepts)[0]
        seeds = tuple(seed_of("stacked", seed, i) for i in range(self.pictures))
        latents, _ = drawn(base, Request(prompts=(text,), seeds=seeds))
        return adapted(
            base,
            latents,
            (text,) * self.pictures,
            selector=("cross_attention", "self_attention"),
            parametrisation=LowRank(rank=self.rank),
            steps=self.stacked,
            batch=self.batch,
            lr=self.lr,
            seed=seed,
            progress=progress,
        ).deltas


@torch.no_grad()
def rounding(model: TextToImage, precision: Precision) -> dict[str, Tensor]:
    """By how much each of the denoiser's weights moves, fp32 on the CPU.

    int8 takes matrices and kernels alone, as programs do; vectors such as biases stay.
    """
    found: dict[str, Tensor] = {}
    for name, weight in model.parameters("denoiser").items():
        value = weight.detach().float().cpu()
        if precision == "int8":
            if value.dim() > 1:
                found[name] = quantised(value) - value
        else:
            half = torch.float16 if precision == "float16" else torch.bfloat16
            found[name] = value.to(half).float() - value
    return found


def quantised(weight: Tensor) -> Tensor:
    """A weight (o, ...) in 8 bits and back: q s with q = round(w / s) in -127 .. 127.

    Symmetric, with one scale s = max |w| / 127 for each output (Jacob et al. 2018,
    arXiv:1712.05877, eq. 1, with the zero point at zero).
    """
    flat = weight.flatten(1)  # (o, i)
    scale = flat.abs().amax(dim=1, keepdim=True) / 127  # (o, 1)
    steps = (flat / scale.clamp_min(torch.finfo(flat.dtype).tiny)).round().clamp(-127, 127)
    return (steps * scale).view_as(weight)
