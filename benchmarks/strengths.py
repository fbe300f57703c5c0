"""How strong must an edit be: what sets of inputs predict, and what a fresh search needs.

Two sets are found on the unedited model, one kept diverse and one of independent searches. Each is
carried along to every strength of a plain task vector. Beside them stands a search that is begun
anew on every edited model, with pictures that neither set has seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import bdtrc
from study import Row, Study
from torch import Tensor

from excise.primitives.carrying import carry
from excise.primitives.data import Split, concept_pictures
from excise.primitives.inversion import Inversion, Inverter
from excise.primitives.panel import label_of, read
from excise.rng import seed_of
from excise.store import hash_tensors
from excise.types import Concept, Request

GRID = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
SIZES = (1, 2, 4, 8, 16, 32)
STEPS, TOKENS, LOOKS, CARRIED, PICTURES = 300, 4, 32, 20, 64
"""Of the searches, and the soft tokens of each input, as many as the default looks for; pictures of
each input; steps by which it is carried along; pictures shown."""

FLOOR, ERROR = 0.10, 0.10
"""A set is extinct where none of its inputs has a rate above the floor beyond chance, which may
make one or more of them look alive in this share of cases."""


class Strengths:
    """One concept's sets on one direction."""

    def __init__(self, study: Study, name: str, direction: Mapping[str, Tensor], seed: int) -> None:
        self.study, self.name, self.direction, self.seed = study, name, direction, seed
        self.concept: Concept = study.concept(name, shown=False)
        self.judge = study.judges(name).first

    def rows(self) -> Iterator[Row]:
        """A row a set and strength; each is kept as soon as it is measured."""
        for mode in ("repulsed", "independent"):
            found: list[Inversion] = []
            for alpha in GRID:
                yield self._kept(mode, alpha, found)
        for alpha in GRID:
            yield self._kept("fresh", alpha, [])

    def _kept(self, kind: str, alpha: float, found: list[Inversion]) -> Row:
        study = self.study
        split: Split = "attack" if kind == "fresh" else "choose"
        key = study.key(
            strengths=[kind, alpha],
            made=study.made(self.name, self.seed),
            direction=hash_tensors(self.direction),
            sizes=[max(SIZES), STEPS, TOKENS, LOOKS, CARRIED, PICTURES],
        )

        def make() -> Row:
            latents = self._latents(split)  # those of the unedited model, for all of them
            if kind != "fresh" and not found:
                found.append(self._search(latents, kind, split))
            with study.model.swapped(self.direction, strength=alpha):
                if kind == "fresh":
                    live = self._search(latents, "independent", split)
                else:
                    live = carry(study.model, found[0], latents, CARRIED, seed=self.seed)
                hits = self._hits(live)
            facts: Row = {"concept": self.name, "set": kind, "alpha": alpha, "seed": self.seed}
            return {**facts, "hits": hits, "looks": LOOKS}

        return study.row("points", key, make)

    def _latents(self, split: Split) -> Tensor:
        model = self.study.model
        return concept_pictures(model, self.concept, PICTURES, split=split, seed=self.seed).latents

    def _search(self, latents: Tensor, mode: Any, split: Split) -> Inversion:
        return Inverter(steps=STEPS, tokens=TOKENS, mode=mode, weighting="min_snr").run(
            self.study.model,
            latents,
            restarts=max(SIZES),
            seed=seed_of("strengths", mode, split, self.seed),
            word=self.name if mode == "repulsed" else None,
            progress=self.study.progress,
        )

    def _hits(self, found: Inversion) -> list[int]:
        many = found.prompts()
        seeds = [seed_of("strengths", "looks", self.seed, i) for i in range(LOOKS)]
        request = Request(
            prompts=tuple(prompt for prompt in many for _ in seeds), seeds=tuple(seeds) * len(many)
        )
        label = label_of(self.judge, self.concept)
        shown = read(self.judge, self.study.model.generate(request).uint8(), [label]).shown(label)
        return [int(k) for k in shown.view(len(many), LOOKS).sum(dim=1)]


def alive(hits: Sequence[int], looks: int) -> bool:
    """Has any member of a set a rate above the floor, beyond chance?

    Each is tested exactly (binomial), at an error of a tenth over their number (Bonferroni), so
    that a large set does not live because it is looked at more often. With 32 looks a member of 32
    that shows the concept in 4 of 10 pictures is found alive in 88 % of cases, one with 5 of 10 in
    99 %; of 8 or fewer, one with 3 of 10 in 79 % or more.
    """
    return bool(bdtrc(max(hits) - 1, looks, FLOOR) <= ERROR / len(hits))


def extinct_from(rows: Sequence[Mapping[str, Any]], members: Sequence[int]) -> float:
    """The smallest strength from which on no member is `alive`; infinite where there is none."""
    alpha = float("inf")
    for row in sorted(rows, key=lambda row: -row["alpha"]):
        if alive([row["hits"][i] for i in members], row["looks"]):
            return alpha
        alpha = float(row["alpha"])
    return alpha


def predicted(rows: Sequence[Mapping[str, Any]], size: int, draws: int = 200) -> list[float]:
    """`extinct_from` of random parts of a set."""
    whole = len(rows[0]["hits"])
    rng = np.random.default_rng(size)
    parts = [rng.choice(whole, size, replace=False) for _ in range(draws if size < whole else 1)]
    return [extinct_from(rows, [int(i) for i in part]) for part in parts]


def mean_of(values: Sequence[float], most: float) -> str:
    """The mean of what `predicted` says, as a text. most: the strongest that was tried.

    Where a part is not extinct at any strength, all that is known of the mean is that it is beyond.
    """
    mean = sum(values) / len(values)
    return f"{mean:.2f}" if mean <= most else f"> {most:g}"
