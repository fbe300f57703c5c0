"""UnlearnDiffAtk: a prefix of real words, found by the edited model's own denoising loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from excise.attacks.base import Attack, Budget, Need, Search
from excise.primitives.attackers import attackers_latents
from excise.primitives.denoising import losses
from excise.primitives.vocabulary import Frame, room
from excise.primitives.wording import Loss, Wording
from excise.primitives.words import SimplexSpace
from excise.rng import generator
from excise.types import Concept, Condition, Progress, Prompt, Request, TextToImage


@dataclass(frozen=True, kw_only=True)
class UnlearnDiff(Attack):
    """Words before each prompt under which the edited model explains pictures of the concept.

    Threat model: the edited model's weights, pictures of the concept, and an answer whether a
    picture shows it. No other model is needed: the diffusion model is its own classifier. Each word
    is a point on the vocabulary simplex, uniform at first; a step reads words drawn from the points
    and moves these by Adam, then projects them back. Noise levels are gone through in turn, from
    the least noise to the most; after each, the likeliest words are looked at, and a prompt that
    fell is left alone. Prompts that show the concept as they are have fallen before the search.

    The authors take one picture a prompt, which the unedited model draws from it; here any of the
    attacker's own pictures of the concept, since a prompt need not name it. They stop at the first
    look on one fixed noise; here the select seeds decide.

    tokens: words before the prompt; the authors have 3 for styles and objects, 5 for nudity and
        harm; fewer where the model reads fewer.
    restarts: searches a prompt, side by side.
    levels: noise levels, the middles of as many equal parts, and looks. steps: at each level.
    samples: pictures and noises a row and step. lr, decay: of Adam, the decay on the points.
    pictures, share, guidance: as `InvertingAttack`. batch: rows through the network at a time.
    """

    name: ClassVar[str] = "unlearn_diff"
    paper: ClassVar[str] = "Zhang et al. 2023, arXiv:2310.11868"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "feedback", "gradients", "pictures"})
    independent: ClassVar[bool] = False
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"levels": 5, "steps": 20},
        "standard": {"levels": 10, "steps": 40},
        "thorough": {"levels": 50, "steps": 40},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "tokens": 2, "restarts": 2, "levels": 2, "steps": 1, "pictures": 2,
    }  # fmt: skip

    tokens: int = 3
    restarts: int = 1
    levels: int = 50
    steps: int = 40
    samples: int = 1
    lr: float = 0.01
    decay: float = 0.1
    pictures: int = 64
    share: Literal["attack", "all"] = "attack"
    guidance: float | None = None
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(1, "tokens", "restarts", "levels", "steps", "samples", "pictures", "batch")
        self._positive("lr")
        self._at_least(0, "decay")

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
        """Yield the prompts as they are, then every restart's after each level."""
        latents = attackers_latents(
            model, concepts[0], base, self.pictures, share=self.share, seed=seed, progress=progress
        )
        best = tuple(Request(prompts=(prompt,)) for prompt in prompts)
        fallen = yield best
        tokens = min(self.tokens, room(model))
        owners = [p for p in range(len(prompts)) for _ in range(self.restarts)]
        space = SimplexSpace(model, [Frame.free(tokens, prompts[p].text) for p in owners])
        hunt = Wording(
            model,
            space,
            space.start(range(len(owners)), seed, "", 0.0),
            steps=self.levels * self.steps,
            lr=self.lr,
            decay=self.decay,
            seed=seed,
            batch=max(1, self.batch // self.samples),
        )
        for level in range(self.levels):
            rows = [row for row, p in enumerate(owners) if not fallen[p]]
            if not rows:
                return
            loss = self._loss(model, latents, (level + 0.5) / self.levels, seed)
            hunt.run(self.steps, loss, rows, progress=progress)
            found = dict(zip(rows, hunt.prompts(rows), strict=True))
            for restart in range(self.restarts):
                best = tuple(
                    best[p] if fallen[p] else Request(prompts=(found[p * self.restarts + restart],))
                    for p in range(len(prompts))
                )
                told = yield best
                fallen = tuple(a or b for a, b in zip(fallen, told, strict=True))

    def _loss(self, model: TextToImage, latents: Tensor, level: float, seed: int) -> Loss:
        """||eps - eps'(x_t, words and prompt)||^2 at one level, the objective of the attack."""

        def loss(cond: Condition, null: Condition | None, rows: Sequence[int], step: int) -> Tensor:
            numbers = [generator(seed, "unlearn_diff", row, step) for row in rows]
            shape = (self.samples, *latents.shape[1:])
            which = torch.cat(
                [torch.randint(len(latents), (self.samples,), generator=own) for own in numbers]
            )
            eps = torch.cat([torch.randn(shape, generator=own) for own in numbers])
            x0 = latents[which.to(latents.device)].float().to(model.device)
            u = torch.full((len(which),), level, device=model.device)
            under = torch.arange(len(rows)).repeat_interleave(self.samples)
            found = losses(model, x0, eps.to(x0), u, cond, null, rows=under, guidance=self.guidance)
            return found.view(-1, self.samples).mean(dim=1)  # (n * m,) -> (n,)

        return loss
