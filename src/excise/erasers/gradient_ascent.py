"""Gradient ascent: explain the concept's pictures worse, the natural rival of a task vector.

The baseline that Ilharco et al. 2023, "Editing Models with Task Arithmetic" (arXiv:2212.04089,
section 3) set beside the negated task vector. A task vector descends on the concept's pictures and
turns the result round; this ascends on the same pictures, in the same batches, as many steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch

from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Given
from excise.errors import BadSetting
from excise.primitives.data import Pictures, empty
from excise.primitives.denoising import Weighting
from excise.primitives.finetune import Draw, Loss, Optimiser, Term, finetune
from excise.primitives.healing import kept_lesson
from excise.primitives.losses import mean, one_caption, own_captions, picture_errors
from excise.primitives.parametrise import of_rank
from excise.types import TextToImage

PROBES = 8  # batches that measure the base's own loss


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Eraser):
    """Ascend the denoising loss on pictures of the concept.

    The paper does so to a language model and to a classifier of pictures; the defaults are those of
    the task vector's fine-tune, whose rival it is.

    selector: which weights move.
    pictures: how many, of each concept. captions: the ``empty`` prompt or each picture's ``own``.
    steps, batch, lr, weighting: of the fine-tune, which clips gradients to a norm of 1, as the task
        vector's own does.
    ceiling: a picture counts no more once its loss is this many times the base's mean; the loss
        has no upper bound of its own.
    retain: weight of holding the base's predictions for everything else that the model is known to
        draw, and for no prompt; 0 leaves that out. retain_walks: pictures on whose way it is held.
    rank: train no more of each weight than a product of two factors of this rank (LoRA, Hu et al.
        2021, arXiv:2106.09685).
    contexts: sentences around the prompts that the pictures are drawn from.
    """

    name: ClassVar[str] = "gradient_ascent"
    paper: ClassVar[str] = "arXiv:2212.04089"
    given: ClassVar[frozenset[Given]] = frozenset({"words", "pictures"})
    measured: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "emoji": {
            "batch": 32,
            "ceiling": 3.0,
            "lr": 1e-4,
            "pictures": 192,
            "retain": 5.0,
            "retain_walks": 192,
            "weighting": "min_snr",
        },
        "emoji/style": {"lr": 3e-4},
    }
    unset: ClassVar[Mapping[str, str]] = {
        "ceiling": "no ceiling",
        "rank": "every entry of every weight",
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "pictures": 2,
        "steps": 2,
        "batch": 2,
        "ceiling": 2.0,
        "retain": 0.5,
        "retain_walks": 2,
    }

    selector: tuple[str, ...] = ("denoiser",)
    pictures: int = 200
    captions: Literal["empty", "own"] = "empty"
    steps: int = 200
    batch: int = 16
    lr: float = 1e-5
    weighting: Weighting = "uniform"
    ceiling: float | None = None
    retain: float = 0.0
    retain_walks: int = 32
    contexts: tuple[str, ...] = ("{}",)
    rank: int | None = None

    def __post_init__(self) -> None:
        self._positive("pictures", "steps", "batch", "lr", "retain_walks", "rank")
        self._among("captions", ("empty", "own"))
        self._among("weighting", get_args(Weighting))
        if self.ceiling is not None and not self.ceiling > 1:
            raise BadSetting(f"{self.name}: expected ceiling > 1 or none, got {self.ceiling}")
        self._at_least(0, "retain")

    def change(self, work: Work) -> Change:
        """Draw, ascend."""
        sets = work.pictures(self.pictures, "tau", self.contexts)
        errors = self._errors(work.model, sets)
        ceiling = None
        if self.ceiling is not None:
            ceiling = self.ceiling * _base_loss(errors, work.seed)
        terms = {"concept": Term(loss=mean(errors, sign=-1.0, ceiling=ceiling))}
        if self.retain:
            lesson = kept_lesson(
                work.model,
                work.concepts,
                walks=self.retain_walks,
                seed=work.seed,
                progress=work.progress,
            )
            terms["retain"] = lesson.term(work.model, self.batch, self.retain)
        tuned = finetune(
            work.model,
            self.selector,
            terms,
            steps=self.steps,
            optimiser=Optimiser(lr=self.lr),
            seed=work.seed,
            parametrisation=of_rank(self.rank),
            progress=work.progress,
            stage=work.stage("gradient-ascent"),
        )
        return Change(deltas=tuned.encoded, record={**tuned.record(), "ceiling": ceiling})

    def _errors(self, model: TextToImage, sets: tuple[Pictures, ...]) -> Loss:
        latents = torch.cat([s.latents for s in sets])  # (n, c, h, w)
        caption = one_caption(empty(model))
        if self.captions == "own":
            caption = own_captions(model.encode([p for s in sets for p in s.prompts]))
        return picture_errors(model, latents, caption, batch=self.batch, weighting=self.weighting)


@torch.no_grad()
def _base_loss(errors: Loss, seed: int) -> float:
    """The unedited model's mean loss on the pictures."""
    draws = [Draw(seed=seed, term="base", step=i) for i in range(PROBES)]
    return float(torch.stack([errors(draw).mean() for draw in draws]).mean())
