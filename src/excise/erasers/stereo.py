"""STEREO: find inputs that outlive erasing, round by round, then erase them all in one go.

Srivatsan et al. 2024, "STEREO: A Two-Stage Framework for Adversarially Robust Concept Erasing from
Text-to-Image Diffusion Models" (arXiv:2408.16807).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from excise.erasers import stereo_targets as targets
from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Given
from excise.erasers.stereo_targets import Found
from excise.primitives.finetune import Optimiser, Tuned, finetune
from excise.primitives.healing import heal
from excise.primitives.inversion import Inversion, Inverter
from excise.primitives.prompts import template_of
from excise.progress import stage
from excise.rng import seed_of
from excise.store import hash_tensors
from excise.types import Concept

Deltas = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class Searched:
    """What the first stage comes to.

    found: by round, and by concept, soft tokens. deltas: of the model on which the last of them
    were found. curves: of the erasing, by round.
    """

    found: Found
    deltas: Deltas
    curves: list[Any]


@dataclass(frozen=True, kw_only=True)
class Stereo(Eraser):
    """Search thoroughly enough, then robustly erase once.

    The search goes in rounds: erase the concept, then what the last round found, as ESD does,
    towards ``p(null) - eta [p(e) - p(null)]``; then find a soft token that brings the concept out
    of the model as it is now. The erasing of all rounds adds up, and is thrown away at the end.

    The original model is then trained once. E is the concept's prompt and all tokens that were
    found for it; at each e in E the target is

        p(null) + anchor_scale [p(anchor) - p(null)] - erase_scale mean_E [p(e') - p(null)]

    in the original's predictions, for an anchor that has to survive. The weights of each target sum
    to one, so that it holds for noise, v and flow prediction alike. Points lie on the way of the
    sampler of the model that a round starts from; the authors walk the one in training.

    The authors' code differs from the paper in two places. Its setting of the search's guidance
    works out to eta = 0, plain erasing to p(null), which is the default here. Its scale of 1 in the
    last stage works out to weights of +1 and -3; here both are what they say.

    selector: which weights are trained; the authors' script offers all but cross-attention, which
        they take for nudity, and ``("cross_attention",)``.
    rounds: of the search. inputs: found in each, for each concept. tokens: soft tokens an input.
    pictures: that they are found by, of each concept.
    inversion_steps, inversion_samples, inversion_lr: of each search: gradient steps, pictures a
        step, and the rate in units of the vocabulary's root mean square, in which the authors' 5e-3
        is about 0.35. The norms of tokens are kept within the vocabulary's; theirs are not.
    eta, search_lr: of the erasing inside the search. anchor_scale, erase_scale, lr: of the last
        stage. steps, batch: of each fine-tune.
    trajectories, sampling_steps, guidance: of the walks for each fine-tune.
    """

    name: ClassVar[str] = "stereo"
    paper: ClassVar[str] = "arXiv:2408.16807"
    given: ClassVar[frozenset[Given]] = frozenset({"words", "pictures"})
    # Pictures and walks take as long as what is done with them.
    scaled: ClassVar[tuple[str, ...]] = ("steps", "inversion_steps", "pictures", "trajectories")
    smallest: ClassVar[Mapping[str, object]] = {
        "rounds": 2,
        "steps": 2,
        "pictures": 2,
        "inversion_steps": 2,
        "trajectories": 2,
        "sampling_steps": 2,
    }

    selector: tuple[str, ...] = ("not_cross_attention",)
    rounds: int = 4
    inputs: int = 1
    tokens: int = 1
    pictures: int = 500
    inversion_steps: int = 3000
    inversion_samples: int = 1
    inversion_lr: float = 0.35
    eta: float = 0.0
    search_lr: float = 5e-6
    anchor_scale: float = 1.0
    erase_scale: float = 1.0
    lr: float = 2e-5
    steps: int = 200
    batch: int = 1
    trajectories: int = 50
    sampling_steps: int = 50
    guidance: float = 3.0

    def __post_init__(self) -> None:
        self._positive(
            "rounds", "inputs", "tokens", "pictures", "inversion_steps", "inversion_samples"
        )
        self._positive("inversion_lr", "search_lr", "lr", "steps", "batch", "erase_scale")
        self._positive("trajectories", "sampling_steps")

    def change(self, work: Work) -> Change:
        """Search, then erase."""
        searched = self.search(work)
        tuned = self.erased(work, searched.found)
        values = {
            f"found/{number}/{concept.name}/{encoder}": value
            for number, row in enumerate(searched.found)
            for concept, one in zip(work.concepts, row, strict=True)
            for encoder, value in one.values.items()
        }
        losses = [[[float(x) for x in one.loss] for one in row] for row in searched.found]
        record = {**tuned.record(), "search": searched.curves, "losses": losses}
        return Change(deltas=tuned.encoded, record=record, tensors=values)

    def search(self, work: Work) -> Searched:
        """The first stage."""
        latents = [made.latents for made in work.pictures(self.pictures, "find")]
        deltas: Deltas = {}
        found: list[tuple[Inversion, ...]] = []
        curves: list[Any] = []
        for number in range(self.rounds):
            last = found[-1] if found else None
            with work.model.swapped(deltas, key=hash_tensors(deltas)):
                lesson = targets.in_search(self, work, number, last)
            deltas, tuned = heal(
                work.model,
                deltas,
                {"erase": (lesson, self.batch, 1.0)},
                selector=self.selector,
                steps=self.steps,
                optimiser=Optimiser(lr=self.search_lr, clip=None),
                seed=seed_of("stereo", work.seed, number),
                progress=work.progress,
                stage=work.stage(f"stereo-search-{number}"),
            )
            curves.append(tuned.record()["curves"])
            with (
                stage(work.progress, f"search, round {number + 1}"),
                work.model.swapped(deltas, key=hash_tensors(deltas)),
            ):
                found.append(
                    tuple(
                        self._inverted(work, concept, rows, number)
                        for concept, rows in zip(work.concepts, latents, strict=True)
                    )
                )
        return Searched(found=tuple(found), deltas=deltas, curves=curves)

    def erased(self, work: Work, found: Found) -> Tuned:
        """The second stage: the original model, trained once."""
        lesson = targets.at_last(self, work, found)
        return finetune(
            work.model,
            self.selector,
            {"erase": lesson.term(work.model, self.batch)},
            steps=self.steps,
            optimiser=Optimiser(lr=self.lr, clip=None),
            seed=work.seed,
            progress=work.progress,
            stage=work.stage("stereo-finetune"),
        )

    def _inverted(self, work: Work, concept: Concept, latents: Tensor, number: int) -> Inversion:
        search = Inverter(
            tokens=self.tokens,
            steps=self.inversion_steps,
            samples=self.inversion_samples,
            lr=self.inversion_lr,
            schedule="constant",
            warmup=0,
            template=template_of(concept),
        )
        return search.run(
            work.model,
            latents,
            restarts=self.inputs,
            seed=seed_of("stereo", work.seed, number),
            progress=work.progress,
            stages=work.stages,
        )
