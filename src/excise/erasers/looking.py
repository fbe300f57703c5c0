"""How often words, and inputs that a search found, bring concepts out of a model as it is now."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from excise.erasers.base import Work
from excise.primitives.carrying import carry
from excise.primitives.inversion import Inversion
from excise.primitives.panel import label_of, read
from excise.primitives.probe import Probe, plain_probe
from excise.rng import seed_of
from excise.stats import Rate
from excise.types import Judge, Request


@dataclass(frozen=True, eq=False, kw_only=True)
class Member:
    """A set of inputs, and which of the concepts they bring out."""

    concept: int
    found: Inversion

    def __len__(self) -> int:
        return len(self.found)


def named(work: Work, judge: Judge, each: int, *, seed: int) -> Rate:
    """Every name of every concept, but for the words that are held back, together.

    each: pictures of each prompt.
    """
    probe = Probe(shots=())
    for concept in work.concepts:
        known = replace(concept, held_back=())
        probe += plain_probe(work.model, known, each, seed=seed, judge=judge, unnamed=False)
    look = probe.look(work.model, judge)
    return Rate(int(look.hits.sum()), len(probe))


def carried(work: Work, one: Member, latents: Tensor, steps: int) -> Member:
    """The inputs after a few further steps on the model as it is now.

    latents: (n, c, h, w) of the pictures that they explain. steps: none leaves them as they are.
    """
    if not steps:
        return one
    return replace(one, found=carry(work.model, one.found, latents, steps, seed=work.seed))


def rates(work: Work, judge: Judge, one: Member, looks: int, *, seed: int) -> list[Rate]:
    """Each input's rate over so many pictures."""
    rows = [i for i in range(len(one)) for _ in range(looks)]
    seeds = tuple(seed_of("look", seed, i) for i in range(looks)) * len(one)
    if one.found.settings["space"] == "token":
        many = one.found.prompts()
        request = Request(prompts=tuple(many[i] for i in rows), seeds=seeds)
    else:
        conditions = one.found.conditions(work.model).to("cpu")
        request = Request(condition=conditions[rows], seeds=seeds)
    label = label_of(judge, work.concepts[one.concept])
    hits = read(judge, work.model.generate(request).uint8(), [label]).shown(label)
    return [Rate(int(k), looks) for k in hits.view(len(one), looks).sum(dim=1)]
