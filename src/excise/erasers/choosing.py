"""What reads a strength of a task vector: its choose-set, plain words, and everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from excise.erasers.base import Work
from excise.primitives import arithmetic, prompts
from excise.primitives.carrying import carry
from excise.primitives.denoising import Bank
from excise.primitives.diversity import functional_diversity
from excise.primitives.inversion import Inversion, Inverter
from excise.primitives.kept import kept, kept_probe
from excise.primitives.panel import label_of, read
from excise.primitives.probe import Look, plain_probe
from excise.primitives.strength import Reading
from excise.progress import stage
from excise.rng import seed_of
from excise.stats import Rate
from excise.store import Artefact, hash_tensors
from excise.store.files import Json
from excise.types import Concept, Judge, Request

if TYPE_CHECKING:
    from excise.erasers.task_vector import TaskVector


@dataclass(eq=False, kw_only=True)
class Finder:
    """What reads a strength: the choose-set, the probes, and what the base made of them."""

    method: TaskVector
    work: Work
    judge: Judge
    concept: Concept
    latents: Tensor
    base: Look
    near: tuple[str, ...]
    choose: list[Inversion] = field(default_factory=list)

    @staticmethod
    def of(method: TaskVector, work: Work, judge: Judge) -> Finder:
        """Draw what has to stay, and find the choose-set, both on the original model."""
        concept = prompts.completed(work.model, work.concepts[0])
        latents = work.latents(64, "choose")
        probe = kept_probe(work.model, work.concepts, method.kept, seed=work.seed, judge=judge)
        base = Look.of(
            probe,
            work.kept(
                "kept-before",
                lambda: _parts(probe.look(work.model, judge, progress=work.progress).artefact()),
            ),
        )
        rows = prompts.kept_concepts(work.model, work.concepts, probe.labels)
        near = prompts.neighbours(work.model, work.concepts, rows)
        finder = Finder(
            method=method,
            work=work,
            judge=judge,
            concept=concept,
            latents=latents,
            base=base,
            near=near,
        )
        finder.choose.append(finder.invert())
        return finder

    @property
    def inverter(self) -> Inverter:
        """How inputs are searched for."""
        return Inverter(
            steps=self.method.inversion_steps,
            samples=self.method.samples,
            weighting=self.method.weighting,
            mode="repulsed",
        )

    def invert(self) -> Inversion:
        """The choose-set, found on the original model."""
        return self.inverter.run(
            self.work.model,
            self.latents,
            restarts=self.method.embeddings,
            seed=seed_of("choose", self.work.seed),
            word=self.concept.name,
            progress=self.work.progress,
            stages=self.work.stages,
        )

    def counterexamples(
        self, direction: Mapping[str, Tensor], alpha: float, number: int
    ) -> Inversion:
        """What independent searches on the edited model find that brings the concept back."""
        model, method = self.work.model, self.method
        deltas = arithmetic.scaled(direction, alpha)
        latents = self.work.latents(64, "find")
        with (
            stage(self.work.progress, f"counterexamples {number + 1}"),
            model.swapped(deltas, key=hash_tensors(deltas)),
        ):
            found = replace(self.inverter, mode="independent").run(
                model,
                latents,
                restarts=method.embeddings,
                seed=seed_of("counterexamples", self.work.seed, number),
                progress=self.work.progress,
                stages=self.work.stages,
            )
            rates = self.embedding_rates(found, carried=0)
        return found.take([i for i, r in enumerate(rates) if r.low(0.9) > method.injected])

    def reading(self, direction: Mapping[str, Tensor], alpha: float) -> Reading:
        """One strength: plain words, every embedding carried along, everything else.

        It is kept, so that a search that was killed goes on where it was.
        """
        names = "-".join(found.digest[:8] for found in self.choose)
        done = self.work.kept(
            f"strength-{round(1e4 * alpha)}-{names}", lambda: self._measured(direction, alpha)
        )
        look, counts = Look.of(self.base.probe, done), done.record["counts"]
        plain, *rates = (Rate(k, n) for k, n in counts)
        return Reading(
            alpha=alpha,
            plain=plain,
            embeddings=tuple(rates),
            kept=kept(look, self.base, self.near),
        )

    def _measured(
        self, direction: Mapping[str, Tensor], alpha: float
    ) -> tuple[Mapping[str, Tensor], Json]:
        model, method = self.work.model, self.method
        with (
            stage(self.work.progress, f"strength {alpha:g}"),
            model.swapped(direction, strength=alpha),
        ):
            look = self.base.probe.look(model, self.judge, progress=self.work.progress)
            plain = plain_probe(
                model,
                replace(self.concept, held_back=()),
                method.plain,
                seed=self.work.seed,
                judge=self.judge,
                unnamed=False,
            ).look(model, self.judge)
            rates = [Rate(int(plain.hits.sum()), len(plain))] + [
                rate
                for found in self.choose
                for rate in self.embedding_rates(found, method.carried)
            ]
        tensors, record = _parts(look.artefact())
        return tensors, {**record, "counts": [[rate.k, rate.n] for rate in rates]}

    def embedding_rates(self, found: Inversion, carried: int) -> list[Rate]:
        """Each embedding's rate on the model as it is now, after a few steps of its own."""
        model, method = self.work.model, self.method
        if carried:
            found = carry(model, found, self.latents, carried, seed=self.work.seed)
        rows = [i for i in range(len(found)) for _ in range(method.looks)]
        seeds = [seed_of("choose", self.work.seed, i) for i in range(method.looks)] * len(found)
        many = found.prompts()
        request = Request(prompts=tuple(many[i] for i in rows), seeds=tuple(seeds))
        label = label_of(self.judge, self.concept)
        hits = read(self.judge, model.generate(request).uint8(), [label]).shown(label)
        counts = hits.view(len(found), method.looks).sum(dim=1)
        return [Rate(int(count), method.looks) for count in counts]

    def record(self) -> dict[str, Any]:
        """The choose-set's figures."""
        bank = Bank.of(self.latents, 32)
        with torch.no_grad():
            conditions = self.choose[0].conditions(self.work.model)
        diversity = functional_diversity(self.work.model, self.latents, conditions, bank)
        return {
            "diversity": diversity.to_json(),
            "losses": [float(v) for v in self.choose[0].loss],
            "sets": [found.artefact().record for found in self.choose],
        }

    def tensors(self) -> dict[str, Tensor]:
        """The choose-set: it brings the concept back."""
        return {
            f"choose/{i}/{name}": value
            for i, found in enumerate(self.choose)
            for name, value in found.artefact().tensors.items()
        }


def _parts(artefact: Artefact) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
    return artefact.tensors, artefact.record
