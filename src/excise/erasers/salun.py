"""SalUn: relabel the concept, in the weights that a forget loss depends on most.

Fan et al. 2023, "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in Both
Image Classification and Generation" (arXiv:2310.12508), section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from excise.erasers.base import Change, Eraser, Work
from excise.errors import BadSetting
from excise.primitives.anchors import counterparts, stand_in
from excise.primitives.data import drawn, empty
from excise.primitives.denoising import Bank
from excise.primitives.finetune import Optimiser, Term, finetune
from excise.primitives.healing import kept_texts
from excise.primitives.losses import Caption, mean, picture_errors, prompt_captions, relabelled
from excise.primitives.prompts import spanning
from excise.primitives.saliency import RowLosses, gradient_sums, held, top_share
from excise.progress import stage
from excise.rng import generator, seed_of
from excise.types import Concept, Kind, Prompt, Request, TextToImage


@dataclass(frozen=True, kw_only=True)
class SalUn(Eraser):
    """Saliency unlearning.

    The mask holds the weights where the gradient of the guided denoising loss on the concept's
    pictures, added up with its sign, is largest in size: the top ``share`` of all. Training then
    minimises ``||p(x_t, c) - stopgrad p(x_t, c')||^2 + alpha * denoising loss`` within it: on
    pictures of the concept, c' the same sentence about something else; on pictures of what has to
    stay, under their own.

    The authors' public script ranks the gradients in rising order and so keeps the smallest; with
    half of them it is the other half. This follows the paper. Like it, this clips no gradient.

    A concept may bring pictures, but has to be named: training is about what a sentence says. One
    that no prompt names is taken with an anchor alone.

    selector: which weights may be in the mask. share: in (0, 1]. mask_guidance, mask_batch: of the
    loss whose gradient it is; each picture counts once. pictures, retained: of each concept, and of
    all that stays. steps, batch, lr, alpha: of the fine-tune: 5 times through the pictures, as the
    authors erase a class; they erase nudity with 100 steps and an alpha of 0.1.
    """

    name: ClassVar[str] = "salun"
    paper: ClassVar[str] = "arXiv:2310.12508"
    # Fewer pictures are gone through as often as more; drawing them takes longer than training.
    scaled: ClassVar[tuple[str, ...]] = ("steps", "pictures", "retained")
    smallest: ClassVar[Mapping[str, object]] = {
        "pictures": 2,
        "retained": 2,
        "steps": 2,
        "batch": 2,
        "mask_batch": 1,
    }

    selector: tuple[str, ...] = ("denoiser",)
    share: float = 0.5
    mask_guidance: float = 8.5
    mask_batch: int = 8
    pictures: int = 800
    retained: int = 800
    steps: int = 500
    batch: int = 8
    lr: float = 1e-5
    alpha: float = 0.5

    def __post_init__(self) -> None:
        self._positive("mask_batch", "pictures", "retained", "steps", "batch", "lr")
        if not 0 < self.share <= 1:
            raise BadSetting(f"{self.name}: expected share in (0, 1], got {self.share}")
        self._at_least(0, "alpha")

    @classmethod
    def sees(cls, kind: Kind) -> bool:
        """Its own pictures stand in for those that the model would draw."""
        return True

    def change(self, work: Work) -> Change:
        """Draw, mask, relabel."""
        model = work.model
        # First, as it refuses a concept for which nothing can stand in: before anything is drawn.
        twins = [_twins(work, concept) for concept in work.concepts]
        sets = work.pictures(self.pictures, "tau")
        latents = torch.cat([s.latents for s in sets])
        prompts = [p for s in sets for p in s.prompts]
        captions = prompt_captions(model, prompts)
        others = [twin[p] for s, twin in zip(sets, twins, strict=True) for p in s.prompts]
        mask = work.kept("salun-mask", lambda: (self.mask(work, latents, captions), None)).tensors
        texts = kept_texts(model, work.concepts, self.retained, work.seed)
        kept = work.kept("salun-retained", lambda: ({"x": _pictures(work, texts)}, None))
        forget = relabelled(
            model,
            latents,
            captions,
            prompt_captions(model, others),
            batch=self.batch,
        )
        retain = picture_errors(
            model, kept.tensors["x"], prompt_captions(model, texts), batch=self.batch
        )
        tuned = finetune(
            model,
            self.selector,
            {
                "forget": Term(loss=mean(forget)),
                "retain": Term(loss=mean(retain), weight=self.alpha),
            },
            steps=self.steps,
            optimiser=Optimiser(lr=self.lr, clip=None),
            seed=work.seed,
            mask=mask,
            progress=work.progress,
            stage=work.stage("salun-finetune"),
        )
        record = {
            "others": [prompt.text for prompt in others],
            "masked": {"held": held(mask), "of": sum(m.numel() for m in mask.values())},
        }
        return Change(deltas=tuned.encoded, record={**tuned.record(), **record})

    def mask(self, work: Work, latents: Tensor, captions: Caption) -> dict[str, Tensor]:
        """The weights that may move."""
        bank = Bank.of(latents, len(latents), seed=seed_of("salun", work.seed))
        losses = forget_losses(work.model, latents, captions, bank, self.mask_guidance)
        sums = gradient_sums(
            work.model,
            self.selector,
            losses,
            len(bank),
            batch=self.mask_batch,
            progress=work.progress,
        )
        return top_share({name: value.abs_() for name, value in sums.items()}, self.share)


def forget_losses(
    model: TextToImage, latents: Tensor, captions: Caption, bank: Bank, guidance: float
) -> RowLosses:
    """The denoising loss of the guided prediction at entries of a bank."""
    null = empty(model).detach()

    def losses(rows: Tensor) -> Tensor:
        entry = bank.take(rows)
        x0 = latents[entry.picture].to(model.device)
        eps, u = entry.eps.to(x0), entry.u.to(x0)
        x = model.noise(x0, eps, u)
        given = model.predict(x, u, captions(entry.picture, generator("salun")))
        without = model.predict(x, u, null.expand(len(rows)))
        guided = without + guidance * (given - without)
        return (guided - model.target(x0, eps, u)).float().square().mean(dim=(1, 2, 3))

    return losses


def _twins(work: Work, concept: Concept) -> dict[Prompt, Prompt]:
    """The prompts of a concept, each to the same about something else."""
    other = stand_in(work.model, concept, work.concepts)
    return counterparts(spanning(work.model, concept), other)


def _pictures(work: Work, prompts: tuple[Prompt, ...]) -> Tensor:
    seeds = tuple(seed_of("salun", work.seed, "retained", i) for i in range(len(prompts)))
    with stage(work.progress, "draw what has to stay"):
        return drawn(work.model, Request(prompts=prompts, seeds=seeds))[0]
