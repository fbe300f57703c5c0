"""Prompting4Debugging: real words under which the edited model answers like the unedited one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import Unsupported
from excise.primitives.data import drawn
from excise.primitives.denoising import prediction
from excise.primitives.prompts import completed, named_in, naming
from excise.primitives.vocabulary import Frame, room
from excise.primitives.wording import Loss, Wording
from excise.primitives.words import NearestSpace
from excise.progress import SILENT, stage
from excise.rng import generator, seed_of
from excise.types import Concept, Condition, Progress, Prompt, Request, TextToImage

Form = Literal["N", "K"]
Variant = Literal["both", Form]


@dataclass(frozen=True, kw_only=True)
class P4D(Attack):
    """Words whose prediction on the edited model is the unedited one's for a prompt of the concept.

    Threat model: the weights of the edited model and of the unedited one. Vectors go down
    ||eps'(x_t, words) - eps(x_t, aim)||^2 by AdamW, each read as its nearest word, which the
    gradient is taken at. The aim is the prompt itself, as in the paper, whose prompts all draw the
    concept on the unedited model. Where a prompt does not name the concept the unedited model draws
    something else, so the aim is one of the concept's own plain prompts, in turn; of an implicit
    concept, which no prompt names, it is the prompt.

    Every ``every`` steps the words are weighed, and the best of a restart are handed over. The
    authors weigh them by pictures (the CLIP similarity to the least similar of three that the
    unedited model draws); here by the loss itself on a fixed set of noises and levels, which needs
    no further model. K puts words between the words of the prompt, where the authors' code counts
    tokens, so that what is found is a text.

    variant: N replaces the prompt by ``tokens`` free words; K keeps it, and puts a free word before
        every ``spacing`` of its words; ``both`` gives the restarts to N and K in turn, so that the
        select seeds say which of the two is handed over.
    restarts: searches a prompt, from random words each; one alone is N's. steps: of AdamW.
    lr, decay: of it, in the unit of the embeddings. every: steps between looks. bank: noises and
    levels at a look. pictures: that the unedited model draws for each aim, to be noised.
    guidance: of the edited model's step where the edit has hooks, as `InvertingAttack`.
    batch: rows through the network at a time.
    """

    name: ClassVar[str] = "p4d"
    paper: ClassVar[str] = "Chin et al. 2023, arXiv:2309.06135"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "gradients", "base"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 2, "steps": 200},
        "standard": {"restarts": 4, "steps": 450},
        "thorough": {"restarts": 4, "steps": 3000},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "restarts": 2, "tokens": 2, "steps": 2, "every": 1, "bank": 2, "pictures": 1,
    }  # fmt: skip

    variant: Variant = "both"
    tokens: int = 16
    spacing: int = 3
    restarts: int = 4
    steps: int = 3000
    lr: float = 0.1
    decay: float = 0.1
    every: int = 50
    bank: int = 16
    pictures: int = 3
    guidance: float | None = None
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._among("variant", get_args(Variant))
        self._at_least(1, "tokens", "spacing", "restarts", "steps", "every")
        self._at_least(1, "bank", "pictures", "batch")
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
        """Search all restarts of all prompts together, and yield one restart after the other."""
        if base is None or (base is model and model.edits):
            raise Unsupported(
                "p4d: expected the unedited model beside the edited one, as a model of its own, "
                "got none; give it as the base"
            )
        owners = [p for p in range(len(prompts)) for _ in range(self.restarts)]
        rows = range(len(owners))
        loss = self._loss(
            model, base, self.aims(base, concepts[0], prompts), owners, seed, progress
        )
        frames = [self.frame(model, prompt, form) for prompt in prompts for form in self.forms]
        space = NearestSpace(model, frames)
        hunt = Wording(
            model,
            space,
            space.start(rows, seed),
            steps=self.steps,
            lr=self.lr,
            decay=self.decay,
            decoupled=True,
            seed=seed,
            batch=self.batch,
        )
        least = torch.full((len(owners),), torch.inf)
        best: list[Prompt] = [*hunt.prompts(rows)]
        with stage(progress or SILENT, "words like the prompt's", self.steps) as shown:
            for done in range(0, self.steps, self.every):
                more = min(self.every, self.steps - done)
                hunt.run(more, loss, rows)
                # Numbers below zero are no step's: the draws of the bank are shared by all looks.
                now = hunt.losses(loss, rows, range(-self.bank, 0))
                for row, prompt in enumerate(hunt.prompts(rows)):
                    best[row] = prompt if now[row] < least[row] else best[row]
                least = torch.minimum(least, now)
                shown.advance(more)
        for restart in range(self.restarts):
            yield tuple(
                Request(prompts=(best[p * self.restarts + restart],)) for p in range(len(prompts))
            )

    @property
    def forms(self) -> tuple[Form, ...]:
        """Which of the two each restart is."""
        turns: tuple[Form, ...] = ("N", "K") if self.variant == "both" else (self.variant,)
        return tuple(turns[restart % len(turns)] for restart in range(self.restarts))

    def aims(
        self, base: TextToImage, concept: Concept, prompts: tuple[Prompt, ...]
    ) -> tuple[Prompt, ...]:
        """For each prompt the one under which the unedited model says what is to be answered."""
        full = completed(base, concept)
        words = (*full.names, *full.held_back)
        plain = cycle(naming(base, full, (full.name,)))
        return tuple(
            prompt if full.kind == "implicit" or named_in(prompt.text, words) else next(plain)
            for prompt in prompts
        )

    def frame(self, model: TextToImage, prompt: Prompt, form: Form) -> Frame:
        """Where a prompt's free words stand."""
        if form == "N":
            return Frame.free(min(self.tokens, room(model)))
        words = prompt.text.split()
        parts: list[str | None] = []
        for first in range(0, max(len(words), 1), self.spacing):
            parts += [None, " ".join(words[first : first + self.spacing])]
        return Frame(tuple(part for part in parts if part != "")).fitted(model)

    def _loss(
        self,
        model: TextToImage,
        base: TextToImage,
        aims: tuple[Prompt, ...],
        owners: Sequence[int],
        seed: int,
        progress: Progress | None,
    ) -> Loss:
        """The distance of the predictions, at noised pictures that the unedited model draws."""
        seeds = tuple(
            seed_of("p4d", seed, p, i) for p in range(len(aims)) for i in range(self.pictures)
        )
        each = tuple(aim for aim in aims for _ in range(self.pictures))
        with stage(progress or SILENT, "draw what the unedited model draws"), torch.no_grad():
            latents, _ = drawn(base, Request(prompts=each, seeds=seeds))
            wanted = base.encode(aims).detach()

        def loss(cond: Condition, null: Condition | None, rows: Sequence[int], step: int) -> Tensor:
            x0, eps, u = self._draws(latents, owners, rows, step, seed, bool(model.hooks))
            x0, eps, u = x0.to(model.device), eps.to(model.device), u.to(model.device)
            x = model.noise(x0, eps, u)
            with torch.no_grad():
                target = base.predict(x, u, wanted[[owners[row] for row in rows]]).to(x)
            answer = prediction(model, x, u, cond, null, guidance=self.guidance)
            return (target - answer).float().square().mean(dim=(1, 2, 3))

        return loss

    def _draws(
        self,
        latents: Tensor,
        owners: Sequence[int],
        rows: Sequence[int],
        step: int,
        seed: int,
        together: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A picture (n, c, h, w) of each row's aim, noise, and a level (n,), at a step.

        A row has its own in the search; at a look all rows of a prompt share them. Hooks see a
        guided step, which has one level for all rows.
        """
        looked = step < 0
        names = [("p4d look", owners[row]) if looked else ("p4d", row) for row in rows]
        numbers = [generator(seed, *name, step) for name in names]
        which = [int(torch.randint(self.pictures, (1,), generator=own)) for own in numbers]
        picked = [owners[row] * self.pictures + i for row, i in zip(rows, which, strict=True)]
        eps = [torch.randn(latents.shape[1:], generator=own) for own in numbers]
        if looked:  # the middles of equal parts
            u = torch.full((len(rows),), (-step - 0.5) / self.bank)
        elif together:
            u = torch.rand(1, generator=generator(seed, "levels", step)).expand(len(rows))
        else:
            u = torch.cat([torch.rand(1, generator=own) for own in numbers])
        return latents[picked], torch.stack(eps), u
