"""ESD: train the model, on the concept's prompts, towards what it says elsewhere minus the concept.

Gandikota et al. 2023, "Erasing Concepts from Diffusion Models" (arXiv:2303.07345), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Given
from excise.errors import Unsupported
from excise.primitives.adapters import Adapters
from excise.primitives.data import empty, spread
from excise.primitives.finetune import Optimiser, Term, finetune
from excise.primitives.inversion import Inverter
from excise.primitives.parametrise import Parametrisation, of_rank
from excise.primitives.points import Points, answers, on_the_way, towards
from excise.primitives.prompts import spanning
from excise.rng import seed_of
from excise.types import Condition, Kind, Prompt, Request, TextToImage

Variant = Literal["auto", "x", "x_strict", "u", "all"]

SELECTORS: Mapping[str, str] = {
    "x": "cross_attention",
    "x_strict": "cross_attention_kv",
    "u": "not_cross_attention",
    "all": "denoiser",
}
RATE = 5e-5  # the authors'
SDXL_RATES: Mapping[bool, float] = {True: 2e-4, False: 1e-5}  # of cross-attention, and of others
SHOWN = 64
"""Pictures, at most, that an input is inverted from."""


@dataclass(frozen=True, kw_only=True)
class ESD(Eraser):
    """Erased Stable Diffusion.

    The target, at x on the way of the model's own sampler (section 4), is
    ``p(c_from) - eta [p(c) - p(null)]`` in the base's predictions p. Its weights sum to one, so it
    holds for noise, v and flow prediction alike. The paper writes it from p(null): with
    ``erase_from`` left out, its eta is one less than this one.

    variant: which weights are trained: cross-attention (``x``), only its keys and values
        (``x_strict``), everything else (``u``), or ``all``; ``auto`` is x for styles and u for
        the rest, as the paper does.
    erase_from: the prompt that the concept is erased from, instead of its own.
    steps, batch, lr: of the fine-tune; the rate left out is the authors', who call theirs for u and
        all in SDXL experimental. As in their script, no gradient is clipped. eta: strength of the
        erasure.
    trajectories: pictures whose way is walked; each lends as many of its steps as are needed.
    sampling_steps, guidance: of these walks.
    rank: train no more of each weight than a product of two factors of this rank (LoRA, Hu et al.
        2021, arXiv:2106.09685). adapter: leave the weights, and train a small network of
        that rank beside each linear layer; what comes of it acts while the model runs.
    inputs, tokens, inversion_steps: of a concept that no prompt names and that brings pictures:
        prompts of so many soft tokens, found by Textual Inversion, stand for its own.
    """

    name: ClassVar[str] = "esd"
    paper: ClassVar[str] = "arXiv:2303.07345"
    given: ClassVar[frozenset[Given]] = frozenset({"words", "pictures"})
    measured: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "sdxl": {"eta": 1.0, "guidance": 2.0},  # the authors' own
        "emoji": {
            "variant": "u",
            "lr": 1e-4,
            "batch": 16,
            "eta": 4.0,
            "trajectories": 100,
            "sampling_steps": 12,
        },
        "emoji/style": {"variant": "x", "eta": 2.0},
    }
    unset: ClassVar[Mapping[str, str]] = {
        "erase_from": "the concept's own prompts",
        "lr": f"{RATE:g}; in SDXL {SDXL_RATES[True]:g} for x and x_strict, "
        f"{SDXL_RATES[False]:g} for u and all",
        "rank": f"every entry of every weight; of an adapter {Adapters().rank}",
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "steps": 2,
        "trajectories": 2,
        "sampling_steps": 2,
        "inversion_steps": 2,
    }

    variant: Variant = "auto"
    erase_from: str | None = None
    steps: int = 200
    batch: int = 1
    lr: float | None = None
    eta: float = 2.0
    trajectories: int = 50
    sampling_steps: int = 50
    guidance: float = 3.0
    inputs: int = 8
    tokens: int = 4
    inversion_steps: int = 300
    rank: int | None = None
    adapter: bool = False

    def __post_init__(self) -> None:
        self._positive("steps", "batch", "lr", "eta", "trajectories", "sampling_steps")
        self._positive("inputs", "tokens", "inversion_steps", "rank")
        self._among("variant", get_args(Variant))

    @classmethod
    def sees(cls, kind: Kind) -> bool:
        """Only those of what no prompt names; the words do for the others."""
        return kind == "implicit"

    def change(self, work: Work) -> Change:
        """Walk, ask the base, train."""
        prompts = self._prompts(work)
        kept = work.kept("esd-targets", lambda: (self._targets(work, prompts), None))
        points = Points(**{name: kept.tensors[name] for name in ("x", "u", "row")})
        erase = towards(
            work.model,
            points,
            self._trained(work, prompts),
            kept.tensors["target"],
            batch=self.batch,
        )
        variant = self.resolved(work)
        tuned = finetune(
            work.model,
            SELECTORS[variant],
            {"erase": Term(loss=erase)},
            steps=self.steps,
            optimiser=Optimiser(lr=self.rate(work.model, variant), clip=None),
            seed=work.seed,
            parametrisation=self.trained,
            progress=work.progress,
            stage=work.stage("esd-finetune"),
        )
        record = {"variant": variant, "prompts": [p.text for p in prompts], "points": len(points)}
        return Change(deltas=tuned.encoded, hooks=tuned.hooks, record={**tuned.record(), **record})

    @property
    def trained(self) -> Parametrisation:
        """What moves: the weights, two factors of each, or adapters beside them."""
        if self.adapter:
            return Adapters() if self.rank is None else Adapters(rank=self.rank)
        return of_rank(self.rank)

    def resolved(self, work: Work) -> Variant:
        """The variant, decided."""
        if self.variant != "auto":
            return self.variant
        return "x" if all(concept.kind == "style" for concept in work.concepts) else "u"

    def rate(self, model: TextToImage, variant: Variant) -> float:
        """The learning rate, decided."""
        if self.lr is not None:
            return self.lr
        if model.family != "sdxl":
            return RATE
        return SDXL_RATES[variant in ("x", "x_strict")]

    def _prompts(self, work: Work) -> tuple[Prompt, ...]:
        """One a walk: every concept's names and templates evenly, the concepts in turn."""
        share = math.ceil(self.trajectories / len(work.concepts))
        each = [
            self._found(work, i, share)
            if concept.kind == "implicit"
            else spread(spanning(work.model, concept), share, seed=work.seed, split="esd")
            for i, concept in enumerate(work.concepts)
        ]
        return tuple(prompt for row in zip(*each, strict=True) for prompt in row)

    def _found(self, work: Work, number: int, n: int) -> tuple[Prompt, ...]:
        """What stands for the words of a concept that has none: inverted inputs, in turn."""
        concept = work.concepts[number]
        if concept.pictures is None:
            raise Unsupported(
                f"{self.name}: expected concepts that prompts name or pictures show, got the "
                f"implicit {concept.name!r} alone; give pictures of it (concept.toml)"
            )
        search = Inverter(tokens=self.tokens, steps=self.inversion_steps)
        found = search.run(
            work.model,
            work.pictures(SHOWN, "find")[number].latents,
            restarts=self.inputs,
            seed=seed_of("esd", work.seed, number),
            progress=work.progress,
            stages=work.stages,
        ).prompts()
        return tuple(found[i % len(found)] for i in range(n))

    def _trained(self, work: Work, prompts: tuple[Prompt, ...]) -> Condition:
        """c_from: one row, or a row a walk."""
        return work.model.encode(prompts if self.erase_from is None else self.erase_from)

    def _targets(self, work: Work, prompts: tuple[Prompt, ...]) -> dict[str, Tensor]:
        """The points, and the base's mixture there."""
        model, told = work.model, work.progress
        request = Request(
            prompts=prompts if self.erase_from is None else Prompt.of(self.erase_from),
            seeds=tuple(seed_of("esd", work.seed, i) for i in range(len(prompts))),
            steps=self.sampling_steps,
            guidance=self.guidance,
        )
        keep = math.ceil(self.steps * self.batch / len(prompts))
        points = on_the_way(model, request, keep, seed=work.seed, progress=told)
        concept = answers(model, points, model.encode(prompts), progress=told)
        null = answers(model, points, empty(model), progress=told)
        start = concept
        if self.erase_from is not None:
            start = answers(model, points, model.encode(self.erase_from), progress=told)
        return {**points.tensors(), "target": start - self.eta * (concept - null)}
