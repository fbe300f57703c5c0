"""Which blocks of a task vector are worth their cost: a subset chosen by gain over cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from excise.erasers.base import Work
from excise.primitives import arithmetic
from excise.primitives.arithmetic import BlockScore
from excise.primitives.data import empty
from excise.primitives.denoising import Bank
from excise.primitives.healing import kept_lesson
from excise.store.files import Json
from excise.types import Concept, Condition

WALKS, KEEP = 32, 4  # pictures on whose way the cost is measured, and points of each
STRENGTH = 3.0  # about where a concept goes


@torch.no_grad()
def words(work: Work, concepts: Sequence[Concept]) -> Condition:
    """What names the concepts, and no prompt at all: rows of condition."""
    named = work.model.encode([p for concept in concepts for p in concept.prompts()])
    return Condition.cat([named, empty(work.model)]).detach()


def scores(work: Work, tau: Mapping[str, Tensor], latents: Tensor) -> tuple[BlockScore, ...]:
    """What each block of the vector does alone at `STRENGTH`, best value first."""

    def measured() -> tuple[Mapping[str, Tensor], Json]:
        return {}, [asdict(score) for score in _scores(work, tau, latents)]

    rows: Any = work.kept("blocks", measured).record
    return tuple(BlockScore(**row) for row in rows)


def _scores(work: Work, tau: Mapping[str, Tensor], latents: Tensor) -> tuple[BlockScore, ...]:
    kept = kept_lesson(work.model, work.concepts, walks=WALKS, keep=KEEP, seed=work.seed)
    return arithmetic.block_scores(
        work.model,
        tau,
        STRENGTH,
        latents,
        words(work, work.concepts),
        Bank.of(latents, 64, seed=work.seed),
        kept.points,
        kept.conditions,
    )


def chosen(found: Sequence[BlockScore], share: float) -> tuple[str, ...]:
    """The blocks of most value that together hold a share, in (0, 1], of all that is gained."""
    whole = sum(max(score.gain, 0.0) for score in found)
    names: list[str] = []
    held = 0.0
    for score in sorted(found, key=lambda s: -s.value):
        if names and held >= share * whole - 1e-12:
            break
        names.append(score.block)
        held += max(score.gain, 0.0)
    return tuple(names)


def record(found: Sequence[BlockScore], names: Sequence[str]) -> list[dict[str, Any]]:
    """A row a block, as a report reads it. norm: its share of the vector's, squared."""
    whole = sum(score.norm**2 for score in found) or 1.0
    return [
        {
            "block": score.block,
            "norm": score.norm**2 / whole,
            "gain": score.gain,
            "cost": score.cost,
            "kept": score.block in names,
        }
        for score in found
    ]
