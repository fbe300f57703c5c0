"""Few-shot unlearning: make the text encoder explain a few pictures of the concept worse.

Fuchi and Takagi 2024, "Erasing Concepts from Text-to-Image Diffusion Models with Few-shot
Unlearning" (arXiv:2405.07288).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Need
from excise.errors import Unsupported
from excise.primitives.finetune import Loss, Optimiser, Term, finetune
from excise.primitives.losses import mean, picture_errors
from excise.types import Condition, Kind, Prompt, TextToImage


@dataclass(frozen=True, kw_only=True)
class FewShot(Eraser):
    """Ascend the denoising loss of a few pictures under the concept's prompts, in the text encoder.

    The loss is Textual Inversion's with its sign turned round, ``-||eps - p(x_t, E(c))||^2`` in the
    family's native target; what moves is E alone: the feed-forward layers of every block, and the
    self-attention of the last. No anchor is named, and nothing holds the rest in place but the
    small number of steps. All CLIP encoders of a model are trained together.

    The authors' public code means to freeze everything else, but sets an attribute that PyTorch
    does not know, so the whole encoder moves there; this follows the paper. It clips no gradient,
    nor does this; its Adam adds the tiny decay to the gradient, AdamW here to the weights.

    A concept may bring the pictures, but has to be named: one that no prompt asks for is not in the
    text encoder.

    pictures: of each concept: its own, or the model's. steps, batch, lr: of the ascent; the authors
    go 5 times through 4 pictures in pairs.
    """

    name: ClassVar[str] = "few_shot"
    paper: ClassVar[str] = "arXiv:2405.07288"
    needs: ClassVar[frozenset[Need]] = frozenset({"clip_text"})
    smallest: ClassVar[Mapping[str, object]] = {"pictures": 2, "steps": 2, "batch": 2}

    pictures: int = 4
    steps: int = 10
    batch: int = 2
    lr: float = 1e-5

    def __post_init__(self) -> None:
        self._positive("pictures", "steps", "batch", "lr")

    @classmethod
    def sees(cls, kind: Kind) -> bool:
        """Its own pictures stand in for those that the model would draw."""
        return True

    def change(self, work: Work) -> Change:
        """Draw, ascend."""
        for concept in work.concepts:
            if concept.kind == "implicit":
                raise Unsupported(
                    f"{self.name}: expected concepts that prompts name, got {concept.name!r}, "
                    "which is implicit; it trains the text encoder alone, so take a method that "
                    "trains the denoiser"
                )
        selector = layers(work.model)
        sets = work.pictures(self.pictures, "tau")
        prompts = [prompt for s in sets for prompt in s.prompts]
        errors = self._errors(work.model, torch.cat([s.latents for s in sets]), prompts)
        tuned = finetune(
            work.model,
            selector,
            {"concept": Term(loss=mean(errors, sign=-1.0))},
            steps=self.steps,
            optimiser=Optimiser(
                lr=self.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=1e-8, clip=None
            ),
            seed=work.seed,
            progress=work.progress,
            stage=work.stage("few-shot-finetune"),
        )
        return Change(deltas=tuned.encoded, record=tuned.record())

    def _errors(self, model: TextToImage, latents: Tensor, prompts: Sequence[Prompt]) -> Loss:
        def caption(rows: Tensor, numbers: torch.Generator) -> Condition:
            # Encoded afresh at each step, since it is the encoder that is trained.
            return model.encode([prompts[int(row)] for row in rows])

        return picture_errors(model, latents, caption, batch=self.batch)


def layers(model: TextToImage) -> tuple[str, ...]:
    """The feed-forward weights of every block of CLIP encoders, and their last self-attentions."""
    found: list[str] = []
    for encoder in model.encoders:
        names = list(model.parameters(encoder))
        numbers = [
            int(n) for name in names for n in re.findall(r"\.encoder\.layers\.(\d+)\.", name)
        ]
        last = f".encoder.layers.{max(numbers)}.self_attn."
        found += [name for name in names if ".mlp.fc" in name or last in name]
    return tuple(found)
