"""Ablating Concepts: asked for the concept, let the model say what it says of an anchor.

Kumari et al. 2023, "Ablating Concepts in Text-to-Image Diffusion Models" (arXiv:2303.13516).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from excise.erasers.base import Change, Eraser, Work
from excise.primitives.anchors import counterparts, stand_in
from excise.primitives.data import drawn, spread
from excise.primitives.finetune import Optimiser, Term, finetune
from excise.primitives.losses import mean, prompt_captions, relabelled
from excise.primitives.parametrise import of_rank
from excise.primitives.prompts import spanning
from excise.progress import stage
from excise.rng import seed_of
from excise.types import Call, Hook, Prompt, Request, TextToImage

Pairs = tuple[tuple[Prompt, ...], tuple[Prompt, ...]]


@dataclass(frozen=True, kw_only=True)
class Ablating(Eraser):
    """Train the concept's prompts towards an anchor's, on pictures of the anchor.

    The model draws pictures of the concept's anchor or, without one, of its nearest neighbour. At
    these pictures x_t under noise, with the concept's sentence c* in the place of the anchor's c,
    the model-based variant minimises ``||p(x_t, c*) - stopgrad p(x_t, c)||^2`` with one and the
    same network on both sides, the noise-based one the plain denoising loss of
    (picture of the anchor, c*).

    A memorised picture is a concept too: its caption as the name, "{}" as the template, the caption
    in other words as the anchor. The authors then train everything (``selector=("denoiser",)``),
    for 400 steps at a lower rate, with the prior at 1, and leave out drawn pictures that are copies
    of the memorised one; a change of the words avoids most of those, and none is left out here.

    variant: ``model`` or ``noise``. selector: which weights move; keys and values that read text.
    pictures: of the anchor, for each concept. steps, batch, lr: of the fine-tune; the authors' rate
    is 2e-6 times the batch, and gradients are clipped to a norm of 1 as theirs are. prior: weight
    of the denoising loss of the anchor's pictures under its own sentences; the authors set 1 where
    the concept is a kind of its anchor.
    rank: train no more of each weight than a product of two factors of this rank (LoRA, Hu et al.
        2021, arXiv:2106.09685).
    hold_first: as the authors do, let no gradient through the keys and values of the first token,
    which is the same in all prompts.
    """

    name: ClassVar[str] = "ablating"
    paper: ClassVar[str] = "arXiv:2303.13516"
    unset: ClassVar[Mapping[str, str]] = {"rank": "every entry of every weight"}
    scaled: ClassVar[tuple[str, ...]] = ("steps", "pictures")  # which take longer than the steps
    smallest: ClassVar[Mapping[str, object]] = {
        "pictures": 2,
        "steps": 2,
        "batch": 2,
        "prior": 1.0,
    }

    variant: Literal["model", "noise"] = "model"
    selector: tuple[str, ...] = ("cross_attention_kv",)
    pictures: int = 1000
    steps: int = 100
    batch: int = 8
    lr: float = 1.6e-5
    prior: float = 0.0
    hold_first: bool = True
    rank: int | None = None

    def __post_init__(self) -> None:
        self._positive("pictures", "steps", "batch", "lr", "rank")
        self._among("variant", ("model", "noise"))
        self._at_least(0, "prior")

    def change(self, work: Work) -> Change:
        """Draw the anchors, train."""
        model = work.model
        targets, anchors = self._pairs(work)
        kept = work.kept("ablating-pictures", lambda: ({"x": _pictures(work, anchors)}, None))
        latents = kept.tensors["x"]
        concept, anchor = (prompt_captions(model, texts) for texts in (targets, anchors))
        other = anchor if self.variant == "model" else None
        terms = {"erase": Term(loss=mean(self._errors(model, latents, concept, other)))}
        if self.prior:
            own = mean(self._errors(model, latents, anchor, None))
            terms["prior"] = Term(loss=own, weight=self.prior)
        with model.hooked([_FirstHeld(wrapped=_readers(model))] if self.hold_first else []):
            tuned = finetune(
                model,
                self.selector,
                terms,
                steps=self.steps,
                optimiser=Optimiser(lr=self.lr),
                seed=work.seed,
                parametrisation=of_rank(self.rank),
                progress=work.progress,
                stage=work.stage("ablating-finetune"),
            )
        texts = {"targets": [p.text for p in targets], "anchors": [p.text for p in anchors]}
        return Change(deltas=tuned.encoded, record={**tuned.record(), **texts})

    def _errors(self, model: TextToImage, latents: Tensor, caption: Any, other: Any) -> Any:
        return relabelled(model, latents, caption, other, batch=self.batch)

    def _pairs(self, work: Work) -> Pairs:
        """Sentences of the concepts, and each with the anchor in the concept's place."""
        targets: list[Prompt] = []
        anchors: list[Prompt] = []
        for concept in work.concepts:
            spanned = spanning(work.model, concept)
            twin = counterparts(spanned, stand_in(work.model, concept, work.concepts))
            own = spread(spanned, self.pictures, seed=work.seed, split="ablating")
            targets += own
            anchors += [twin[prompt] for prompt in own]
        return tuple(targets), tuple(anchors)


def _pictures(work: Work, prompts: tuple[Prompt, ...]) -> Tensor:
    seeds = tuple(seed_of("ablating", work.seed, i) for i in range(len(prompts)))
    with stage(work.progress, "draw anchors"):
        return drawn(work.model, Request(prompts=prompts, seeds=seeds))[0]


def _readers(model: TextToImage) -> tuple[str, ...]:
    """The layers whose outputs are keys and values of text."""
    names = model.parameters("cross_attention_kv")
    return tuple(name.removesuffix(".weight") for name in names if name.endswith(".weight"))


@dataclass(frozen=True, eq=False, kw_only=True)
class _FirstHeld(Hook):
    """Lets no gradient through the first token; nothing that is computed changes."""

    wrapped: tuple[str, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        return self.wrapped

    def module(
        self,
        call: Call,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        out = forward(*args, **kwargs)  # (n, L, d)
        return torch.cat([out[:, :1].detach(), out[:, 1:]], dim=1)
