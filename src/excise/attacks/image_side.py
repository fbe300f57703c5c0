"""A picture that is optimised in the place of the prompt: the model is started from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from excise.attacks.base import Attack, Budget, Kind, Need, Search
from excise.errors import BadSetting
from excise.primitives.attackers import Share, attackers_latents
from excise.primitives.denoising import mapped, prediction
from excise.primitives.descent import Descent
from excise.primitives.kernels import for_gradients
from excise.progress import SILENT, stage
from excise.rng import generator, noise, seed_of
from excise.types import Concept, Condition, Progress, Prompt, Request, Start, TextToImage


@dataclass(frozen=True, kw_only=True)
class ImageSide(Attack):
    """Searches a latent z from which the model under attack goes on to a picture of the concept.

    As RECALL does, each restart has one reference picture x* and begins at a mixture of it with
    noise, and the prompts stay as they are. What is minimised is, over fresh noise eps,

        | x0(noise(z, eps, level), prompt) - x* |^2,

    with x0(...) the clean picture that the model predicts: RECALL's distance of two predictions,
    but to the reference itself, so that one evaluation a step is enough. z is drawn from with new
    noise at that level, so what is scored does not hang on one seed. It may learn the reference by
    heart, and nothing bounds its size, which is injection: read it beside the oracle's.

    restarts: each with the next picture. level: u at which drawing starts. mix: the share of the
        picture in the beginning. steps: of Adam; the authors' code has 20 at each of 50 levels.
        samples: noises a restart and step. lr: in units of the root mean square of the pictures'
        latents. guidance: as `InvertingAttack`. batch: rows through the network at a time.
    pictures: how many the attacker has; the unedited model draws them where the concept has none.
    share: which of the concept's pictures are the attacker's.
    """

    name: ClassVar[str] = "image_side"
    paper: ClassVar[str] = "RECALL 2025, arXiv:2507.07139"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "start", "gradients", "pictures"})
    kind: ClassVar[Kind] = "injecting"
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 6, "steps": 40},
        "standard": {"restarts": 12, "steps": 100},
        "thorough": {"restarts": 36, "steps": 1000},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "restarts": 2, "steps": 2, "samples": 1, "pictures": 2,
    }  # fmt: skip

    restarts: int = 12
    level: float = 0.75
    mix: float = 0.25
    steps: int = 100
    samples: int = 2
    lr: float = 0.05
    guidance: float | None = None
    batch: int = 64
    pictures: int = 12
    share: Share = "attack"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(1, "restarts", "steps", "samples", "batch", "pictures")
        self._positive("lr")
        self._shares("mix")
        if not 0 < self.level < 1:
            raise BadSetting(f"{self.name}: expected level in (0, 1), got {self.level}")

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
        """Optimise all restarts at once, and yield one after the other, for all prompts."""
        latents = attackers_latents(
            model, concepts[0], base, self.pictures, share=self.share, seed=seed, progress=progress
        )
        found = self.optimised(model, latents, prompts, seed=seed, progress=progress)
        for z in found.values["z"].detach().cpu():
            start = Start(latents=z[None], level=self.level)
            yield tuple(Request(prompts=(prompt,), start=start) for prompt in prompts)

    def optimised(
        self,
        model: TextToImage,
        latents: Tensor,
        prompts: tuple[Prompt, ...],
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Descent:
        """The search, done: ``values["z"]`` (restarts, c, h, w) and its curves.

        Raises:
            NumericalError: a loss was not finite.
        """
        goal = latents[[i % len(latents) for i in range(self.restarts)]].to(model.device).float()
        seeds = [seed_of("image side", seed, i) for i in range(self.restarts)]
        begun = self.mix * goal + (1 - self.mix) * noise(seeds, goal.shape[1:], device=goal.device)
        rate = self.lr * float(latents.float().square().mean().sqrt())
        descent = Descent({"z": begun}, {"z": rate}, steps=self.steps, schedule="cosine")
        with model.trainable(()), for_gradients(model), torch.enable_grad():
            cond, null = mapped(model, model.encode(prompts).detach(), prompts)
            with stage(progress or SILENT, "image", self.steps) as shown:
                while descent.done < self.steps:
                    p = [descent.done % len(prompts)]  # one prompt a step, in turn
                    part = cond[p], None if null is None else null[p]
                    descent.step(self._parts(model, descent, goal, *part, seed))
                    shown.advance()
        return descent

    def _parts(
        self,
        model: TextToImage,
        descent: Descent,
        goal: Tensor,
        cond: Condition,
        null: Condition | None,
        seed: int,
    ) -> Iterator[tuple[slice, Tensor]]:
        """Restarts, as many as fit a batch, and their losses; cond, null: one row each."""
        z, m = descent.values["z"], self.samples
        size = max(1, self.batch // m)
        for first in range(0, len(z), size):
            rows = slice(first, min(first + size, len(z)))
            count = (rows.stop - first) * m
            draws = [generator(seed, "image side", r, descent.done) for r in range(len(z))[rows]]
            eps = torch.cat([torch.randn(m, *z.shape[1:], generator=g) for g in draws]).to(z)
            u = torch.full((count,), self.level, device=z.device)
            x = model.noise(z[rows].repeat_interleave(m, dim=0), eps, u)  # (k * m, c, h, w)
            own = None if null is None else null.expand(count)
            out = prediction(model, x, u, cond.expand(count), own, guidance=self.guidance)
            miss = model.to_x0(x, out, u) - goal[rows].repeat_interleave(m, dim=0)
            yield rows, miss.square().mean(dim=(1, 2, 3)).view(-1, m).mean(dim=1)  # (k,)
