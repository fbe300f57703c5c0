"""Inversion: inputs that make a model show what pictures show, K of them at once.

Textual Inversion (Gal et al. 2022, arXiv:2208.01618) in four spaces, and Diverse Inversion (Pham
et al. 2024, arXiv:2404.03631), which keeps the members of the set apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from excise.errors import BadSetting, UserError
from excise.primitives.denoising import (
    Bank,
    Weighting,
    concept_loss,
    level_weights,
    losses,
    mapped,
)
from excise.primitives.descent import Descent, Schedule
from excise.primitives.diversity import repulsion
from excise.primitives.inverted import Inversion
from excise.primitives.kernels import for_gradients
from excise.primitives.spaces import Name, Space, Values, space_for
from excise.progress import SILENT, stage
from excise.rng import generator
from excise.settings import recipe
from excise.store import Stage, Stages
from excise.types import Progress, TextToImage, digest

Interval = tuple[float, float]

__all__ = ["Inversion", "Inverter"]


@dataclass(frozen=True, kw_only=True)
class Inverter:
    """How to search. All restarts run in one batch; each has its own draws, whoever runs beside it.

    space: ``token``, soft tokens in the template; ``condition``, the whole conditioning;
        ``step_condition``, one conditioning for each band of noise levels; ``simplex``, real words,
        by gradients through words drawn from points on the vocabulary simplex.
    tokens: k, soft tokens or words a restart. bands: of equal width over u in [0, 1].
    template: with ``<1>`` where the soft tokens stand, or the words at which a conditioning starts.
    texts: further ones for soft tokens, which steps go through in turn, so that what is found
        serves in all of them.
    init: words in the place of ``<1>`` at which all restarts begin, with ``jitter`` times the
        vocabulary's root mean square of noise; empty, and each begins at random words. On the
        simplex ``jitter`` is the share of its middle, at which all begin without words.
    norms: the quantiles of the vocabulary's norms within which each soft token's norm is kept.
    steps: of Adam. samples: pictures, noises and levels a restart and step. lr: in units of the
        root mean square of the vocabulary (or of the template's conditioning); None is 0.1 for
        tokens, 0.02 for conditionings and 0.01 on the simplex. warmup: steps.
    weighting: of the loss by level, as in the model's training. between: the levels u drawn from.
    mode: ``independent``, or ``repulsed``: add ``repulsion`` times the squared distances by which
        cosines leave their intervals: ``apart``, between members, and ``from_word``, between a
        member and the concept's own word. Repulsed restarts depend on one another.
    guidance: of the step that is matched where hooks are applied to the model; see
        `guidance_for`.
    bank: entries of the bank on which the result's losses are taken.
    batch: rows through the network at a time.
    """

    space: Name = "token"
    tokens: int = 1
    bands: int = 10
    template: str = "a picture of <1>"
    texts: tuple[str, ...] = ()
    init: str = ""
    jitter: float = 0.1
    norms: Interval = (0.0, 1.0)
    steps: int = 400
    samples: int = 4
    lr: float | None = None
    warmup: int = 20
    schedule: Schedule = "cosine"
    weighting: Weighting = "uniform"
    between: Interval = (0.0, 1.0)
    mode: Literal["independent", "repulsed"] = "independent"
    apart: Interval = (-1.0, 0.5)
    from_word: Interval = (-1.0, 0.5)
    repulsion: float = 1.0
    guidance: float | None = None
    bank: int = 64
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.space not in get_args(Name):
            raise BadSetting(f"expected a space among {get_args(Name)}, got {self.space!r}")
        for name in ("tokens", "bands", "steps", "samples", "bank", "batch"):
            if getattr(self, name) < 1:
                raise BadSetting(f"expected {name} >= 1, got {getattr(self, name)}")
        for name, least in {"norms": 0, "between": 0, "apart": -1, "from_word": -1}.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= 1:
                raise BadSetting(
                    f"expected {name} as (low, high) within [{least}, 1], got {(low, high)}"
                )
        if self.texts and self.space != "token":
            raise BadSetting(f"expected texts with the space token, got {self.space!r}")
        if self.lr is not None and self.lr <= 0:
            raise BadSetting(f"expected lr > 0, got {self.lr}")

    def run(
        self,
        model: TextToImage,
        latents: Tensor,
        *,
        restarts: int = 1,
        seed: int = 0,
        word: str | None = None,
        start: Inversion | None = None,
        bank: Bank | None = None,
        progress: Progress | None = None,
        stages: Stages | None = None,
    ) -> Inversion:
        """Find ``restarts`` inputs; the model is left as it was.

        latents: (n, c, h, w) of pictures that show the concept. word: the concept's own, for the
        repulsed mode. start: rows to begin at, as many as restarts. bank: for the result's losses;
        the default depends on the latents alone, so that it is the same for every model. stages:
        where to keep checkpoints and the result.

        Raises:
            NumericalError: a loss was not finite.
            UserError: no latents, no restarts, or a start of another size.
        """
        if latents.dim() != 4 or not len(latents) or restarts < 1:
            raise UserError(
                "expected latents (n, c, h, w) with n >= 1 and restarts >= 1, got "
                f"{tuple(latents.shape)} and {restarts}"
            )
        if start is not None and len(start) != restarts:
            raise UserError(f"expected a start of {restarts} rows, got {len(start)}")
        bank = Bank.of(latents, self.bank) if bank is None else bank
        kept = None
        if stages is not None:
            kept = stages.stage(
                "inversion",
                {
                    "settings": recipe(self),
                    "model": [model.fingerprint(), *model.edits],
                    "latents": digest(latents),
                    "bank": bank.digest,
                    "start": None if start is None else start.digest,
                    "run": [restarts, seed, word],
                },
            )
            if (done := kept.load()) is not None:
                return Inversion.of(done)
        found = self._search(model, latents, restarts, seed, word, start, bank, progress, kept)
        if kept is None:
            return found
        artefact = found.artefact()
        return Inversion.of(kept.finish(artefact.tensors, artefact.record))

    @property
    def rate(self) -> float:
        """The learning rate, the space's own if none was given."""
        own = {"token": 0.1, "simplex": 0.01}.get(self.space, 0.02)
        return own if self.lr is None else self.lr

    def space_of(self, model: TextToImage, text: str | None = None) -> Space:
        """The space for a model; with another text in the template's place."""
        return space_for(
            model,
            self.space,
            template=self.template if text is None else text,
            tokens=self.tokens,
            norms=self.norms,
            bands=self.bands,
        )

    def _search(
        self,
        model: TextToImage,
        latents: Tensor,
        restarts: int,
        seed: int,
        word: str | None,
        start: Inversion | None,
        bank: Bank,
        progress: Progress | None,
        kept: Stage | None,
    ) -> Inversion:
        edits, space = model.edits, self.space_of(model)
        said = (space, *(self.space_of(model, text) for text in self.texts))
        values = (
            space.start(range(restarts), seed, self.init, self.jitter)
            if start is None
            else {name: value.to(model.device) for name, value in start.values.items()}
        )
        own = None if word is None else space.word(word)
        lr = {name: self.rate * space.scale[name] for name in values}
        descent = Descent(values, lr, steps=self.steps, warmup=self.warmup, schedule=self.schedule)
        if kept is not None and (part := kept.resume()) is not None:
            descent.restore(part.tensors, part.record)
        with model.trainable(()), for_gradients(model), torch.enable_grad():
            with stage(progress or SILENT, "inversion", self.steps) as shown:
                shown.advance(descent.done)
                while descent.done < self.steps:
                    penalty = None
                    if self.mode == "repulsed":
                        members = space.features(descent.values)
                        penalty = self.repulsion * repulsion(
                            members, self.apart, own, self.from_word
                        )
                    now = said[descent.done % len(said)]
                    parts = self._parts(model, now, descent.values, latents, seed, descent.done)
                    descent.step(parts, penalty)
                    space.project(descent.values)
                    if kept is not None:
                        kept.checkpoint(descent.snapshot)
                    shown.advance()
            with torch.no_grad():
                found = {n: v.detach() for n, v in space.settled(descent.values).items()}
                cond = space.conditions(found)
            table = concept_loss(
                model, latents, cond, bank, guidance=self.guidance, batch=self.batch
            )
        return Inversion(
            values={name: value.cpu() for name, value in found.items()},
            losses=table,
            curves=descent.curves,
            settings=recipe(self),
            seed=seed,
            pictures=digest(latents),
            bank=bank.digest,
            edits=edits,
        )

    def _parts(
        self,
        model: TextToImage,
        space: Space,
        values: Values,
        latents: Tensor,
        seed: int,
        step: int,
    ) -> Iterator[tuple[slice, Tensor]]:
        """Rows, as many as fit a batch, and their losses at a step."""
        restarts, m = len(next(iter(values.values()))), self.samples
        size = max(1, self.batch // m)
        for first in range(0, restarts, size):
            rows = slice(first, min(first + size, restarts))
            some = {name: value[rows] for name, value in values.items()}
            some = dict(space.tried(some, seed, range(restarts)[rows], step))
            spoken = space.prompts(some) if model.hooks else ()
            cond, null = mapped(model, space.conditions(some), spoken)
            drawn = [self._draw(model, latents, seed, r, step) for r in range(restarts)[rows]]
            x0, eps, u = (torch.cat(part).to(model.device) for part in zip(*drawn, strict=True))
            which = torch.arange(len(cond)).repeat_interleave(m)  # (k,) -> (k * m,)
            loss = losses(model, x0, eps, u, cond, null, rows=which, guidance=self.guidance)
            loss = loss * level_weights(model, u, self.weighting)
            yield rows, loss.view(-1, m).mean(dim=1)  # (k * m,) -> (k,)

    def _draw(
        self, model: TextToImage, latents: Tensor, seed: int, row: int, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A row's pictures (m, c, h, w), noises and levels (m,) at a step, and nobody else's."""
        own, m = generator(seed, "inversion", row, step), self.samples
        picture = torch.randint(len(latents), (m,), generator=own)
        eps = torch.randn((m, *latents.shape[1:]), generator=own)
        # A guided step, which hooks see, has one level for all of its rows.
        source = generator(seed, "levels", step) if model.hooks else own
        within = torch.rand(m, generator=source)
        low, high = self.between
        u = low + (high - low) * (torch.arange(m) + within) / m  # one in each of m equal parts
        return latents[picture.to(latents.device)].float().cpu(), eps, u
