"""What reads a strength of a task vector: its choose-set, plain words, and everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from excise.erasers import looking, searching
from excise.erasers.base import Work
from excise.erasers.looking import Member
from excise.primitives import arithmetic, prompts
from excise.primitives.data import Pictures
from excise.primitives.denoising import Bank
from excise.primitives.diversity import functional_diversity
from excise.primitives.kept import kept, kept_probe
from excise.primitives.panel import label_of
from excise.primitives.probe import Look
from excise.primitives.strength import Floors, Reading, alive
from excise.progress import stage
from excise.rng import seed_of
from excise.stats import Rate
from excise.store import Artefact, hash_tensors
from excise.store.files import Json
from excise.types import Condition, Judge

if TYPE_CHECKING:
    from excise.erasers.task_vector import TaskVector


SURE = 4
"""So many times the pictures of plain words decide whether what was chosen passes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trial:
    """An attack on an edit that was chosen, on fresh seeds.

    tried: independent searches; back: those that brought a concept back beyond chance. searched:
    the rate over all of them; plain: that of plain words.
    """

    tried: int
    back: tuple[Member, ...]
    searched: Rate
    plain: Rate

    def passed(self, floors: Floors) -> bool:
        """Was nothing brought back, and is neither rate above its floor?"""
        return self.margin(floors) >= 0 and not self.back

    def margin(self, floors: Floors) -> float:
        """How far inside the floors the two rates are, as `Floors.gone` says."""
        return floors.gone(self.plain.rate, self.searched.rate)

    def to_json(self, level: float) -> dict[str, Any]:
        """The figures. level: of the upper bounds, each by itself."""
        plain, searched = self.plain, self.searched
        return {
            "tried": self.tried,
            "back": sum(map(len, self.back)),
            "plain": [plain.k, plain.n],
            "searched": [searched.k, searched.n],
            "upper": {"plain": plain.high(level), "searched": searched.high(level)},
            "level": level,
        }


@dataclass(eq=False, kw_only=True)
class Finder:
    """What reads a strength: the choose-set, the probes, and what the base made of them.

    Its seeds are its own, so that no evaluation looks at the same pictures. explained: by concept,
    the pictures that the choose-set explains; checked: those that attacks on what was chosen
    explain, which nothing else does. base: the unedited model's look at the rest.
    """

    method: TaskVector
    work: Work
    judge: Judge
    explained: tuple[Pictures, ...]
    checked: tuple[Pictures, ...]
    base: Look
    near: tuple[str, ...]
    choose: list[Member] = field(default_factory=list)

    @staticmethod
    def of(method: TaskVector, work: Work, judge: Judge) -> Finder:
        """Draw what has to stay, and find the choose-set, both on the original model."""
        probe = kept_probe(
            work.model,
            work.concepts,
            method.kept,
            seed=seed_of("choose", work.seed),
            judge=judge,
        )
        base = Look.of(
            probe,
            work.kept(
                "kept-before",
                lambda: _parts(probe.look(work.model, judge, progress=work.progress).artefact()),
            ),
        )
        rows = prompts.kept_concepts(work.model, work.concepts, probe.labels)
        finder = Finder(
            method=method,
            work=work,
            judge=judge,
            explained=work.pictures(64, "choose"),
            checked=work.pictures(64, "check"),
            base=base,
            near=prompts.neighbours(work.model, work.concepts, rows),
        )
        with stage(work.progress, "choose-set"):
            finder.choose += finder._search(
                finder.explained, seed_of("choose", work.seed), "repulsed"
            )
        return finder

    @property
    def floors(self) -> Floors:
        """The method's, that for plain words raised to the judge's false alarms where it has more.

        These are told from the unedited model's pictures of everything else.
        """
        floors, sheet = self.method.floors, self.base.sheet
        labels = [label_of(self.judge, concept) for concept in self.work.concepts]
        alarms = [float(sheet.shown(one).float().mean()) for one in labels if one in sheet.labels]
        return replace(floors, natural=max(floors.natural, *alarms, 0.0))

    def reading(self, direction: Mapping[str, Tensor], alpha: float) -> Reading:
        """One strength: plain words, every input carried along, everything else.

        Each part is kept, so that a search that was killed goes on where it was, and one with a
        larger choose-set measures only what is new.
        """
        name = f"strength-{round(1e4 * alpha)}"
        with (
            stage(self.work.progress, f"strength {alpha:g}"),
            self.work.model.swapped(direction, strength=alpha),
        ):
            done = self.work.kept(name, self._looked)
            rates: list[Rate] = []
            for one in self.choose:
                own: Any = self.work.kept(
                    f"{name}-{one.found.digest[:8]}", partial(self._carried, one)
                ).record
                rates += [Rate(k, n) for k, n in own]
        return Reading(
            alpha=alpha,
            plain=Rate(*done.record["plain"]),
            embeddings=tuple(rates),
            kept=kept(Look.of(self.base.probe, done), self.base, self.near),
        )

    def attacked(self, direction: Mapping[str, Tensor], alpha: float, number: int) -> Trial:
        """Independent searches on the edited model, and plain words, both on fresh seeds."""
        deltas = arithmetic.scaled(direction, alpha)
        seed = seed_of("counterexamples", self.work.seed, number)
        with (
            stage(self.work.progress, f"attack on strength {alpha:g}"),
            self.work.model.swapped(deltas, key=hash_tensors(deltas)),
        ):
            found = self._search(self.checked, seed, "independent")
            rates = [self._rates(one, seed) for one in found]
            plain = self._plain(seed, SURE)
        every = [rate for row in rates for rate in row]
        living = set(alive(every, self.floors.injected))
        back, first = [], 0
        for one, row in zip(found, rates, strict=True):
            rows = [i for i in range(len(row)) if first + i in living]
            first += len(row)
            if rows:
                back.append(replace(one, found=one.found.take(rows)))
        return Trial(
            tried=first,
            back=tuple(back),
            searched=Rate(sum(rate.k for rate in every), sum(rate.n for rate in every)),
            plain=plain,
        )

    def _search(self, shown: Sequence[Pictures], seed: int, mode: Any) -> list[Member]:
        return [
            Member(concept=i, found=found)
            for i, concept in enumerate(self.work.concepts)
            for found in searching.inputs(
                self.method,
                self.work,
                concept,
                shown[i].latents,
                seed=seed,
                mode=mode,
                within=self.method.judged_in(concept),
            )
        ]

    def _looked(self) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
        look = self.base.probe.look(self.work.model, self.judge, progress=self.work.progress)
        plain = self._plain(seed_of("choose", self.work.seed))
        tensors, record = _parts(look.artefact())
        return tensors, {**record, "plain": [plain.k, plain.n]}

    def _plain(self, seed: int, times: int = 1) -> Rate:
        return looking.named(self.work, self.judge, times * self.method.plain, seed=seed)

    def _carried(self, one: Member) -> tuple[Mapping[str, Tensor], Json]:
        """Each input's rate on the model as it is now, after a few steps of its own."""
        latents = self.explained[one.concept].latents
        moved = looking.carried(self.work, one, latents, self.method.carried)
        rates = self._rates(moved, seed_of("looks", self.work.seed))
        return {}, [[rate.k, rate.n] for rate in rates]

    def _rates(self, one: Member, seed: int) -> list[Rate]:
        return looking.rates(self.work, self.judge, one, self.method.looks, seed=seed)

    def record(self) -> dict[str, Any]:
        """The choose-set's figures."""
        model, latents = self.work.model, self.explained[0].latents
        own = [one.found for one in self.choose if one.concept == 0]
        with torch.no_grad():
            conditions = Condition.cat([found.conditions(model) for found in own])
        diversity = functional_diversity(model, latents, conditions, Bank.of(latents, 32))
        return {
            "diversity": diversity.to_json(),
            "losses": [float(v) for found in own for v in found.loss],
            "sets": [one.found.artefact().record for one in self.choose],
        }

    def tensors(self) -> dict[str, Tensor]:
        """The choose-set: it brings the concept back."""
        return {
            f"choose/{i}/{name}": value
            for i, one in enumerate(self.choose)
            for name, value in one.found.artefact().tensors.items()
        }


def _parts(artefact: Artefact) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
    return artefact.tensors, artefact.record
