"""Directions made from others: parts of the plain vector, and controls that tell it from noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from vectors import TRAINED, Direction, Run

from excise.erasers import blocks
from excise.primitives import arithmetic
from excise.primitives.arithmetic import BlockScore
from excise.rng import generator

Derive = Callable[[Run], Direction]


def without_drift(run: Run) -> Direction:
    """The paper's, off the direction of the generic drift, weight by weight."""
    own, drift = run.kept("plain"), run.kept("generic")
    found = {}
    for name, delta in own.items():
        other = drift[name]
        share = (delta * other).sum() / other.square().sum().clamp(min=1e-12)
        found[name] = delta - share * other
    return found


def shuffled(run: Run) -> Direction:
    """The paper's, each weight's entries in a random order."""
    return arithmetic.permuted(run.kept("plain"), generator("permuted", run.work.seed))


def part_of(share: float) -> Derive:
    """The paper's, confined to the blocks of most gain over cost.

    share: of the whole gain that these hold.
    """

    def make(run: Run) -> Direction:
        own = run.kept("plain")
        return _inside(run, own, blocks.chosen(_scores(run, own), share))

    return make


def by_chance(share: float, draw: int) -> Derive:
    """As many blocks as `part_of` has, drawn at random, and scaled to the norm of that part.

    draw: which one.
    """

    def make(run: Run) -> Direction:
        own = run.kept("plain")
        scores = _scores(run, own)
        part = blocks.chosen(scores, share)
        names = sorted(score.block for score in scores)
        order = torch.randperm(len(names), generator=generator("blocks", run.work.seed, draw))
        drawn = _inside(run, own, [names[i] for i in order[: len(part)].tolist()])
        norms = [arithmetic.norm(one) for one in (_inside(run, own, part), drawn)]
        return arithmetic.scaled(drawn, norms[0] / max(norms[1], 1e-12))

    return make


def _scores(run: Run, own: Direction) -> tuple[BlockScore, ...]:
    """What each block does alone; measured once for all parts."""
    latents = run.work.latents(run.method.pictures, "tau", run.method.contexts)
    return blocks.scores(run.work, arithmetic.negated(own), latents)


def _inside(run: Run, own: Direction, names: tuple[str, ...] | list[str]) -> Direction:
    groups = run.work.model.blocks()
    return arithmetic.restricted(own, [weight for block in names for weight in groups[block]])


PARTS: Mapping[str, Derive] = {
    "half of the gain": part_of(0.5),
    "most of the gain": part_of(0.8),
    **{f"as many by chance, {i + 1}": by_chance(0.5, i) for i in range(3)},
}
DERIVED: Mapping[str, Derive] = {
    "without drift": without_drift,
    "shuffled": shuffled,
    **PARTS,
}
WAYS = (*TRAINED, *(name for name in DERIVED if name not in PARTS))
