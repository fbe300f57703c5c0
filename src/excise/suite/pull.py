"""How an edit pulls under guidance: as much on the prediction without words as on that with them?

Measured on the edited model beside the unedited one, whatever made the edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from excise.primitives.arithmetic import Guidance
from excise.primitives.data import empty
from excise.primitives.denoising import Bank
from excise.primitives.points import Points, answers
from excise.primitives.prompts import naming
from excise.suite.arms import Arm
from excise.suite.bench import Bench, Made
from excise.suite.held_out import LOSS, HeldOut

ENTRIES = 64  # of the bank of pictures, noises and levels: less than a second on two cores


@dataclass(frozen=True, kw_only=True)
class Pull:
    """D_u and D_c of an edit; found is None where they could not be measured, and why says so."""

    found: Guidance | None = None
    why: str = ""


def pull_of(bench: Bench, held: HeldOut | None) -> Pull | None:
    """That of the edit in question; None without a base to measure from, or without pictures."""
    base, edit = bench.role("base"), bench.role("edit")
    if base is None or edit is None or held is None:
        return None
    if bench.full.kind == "implicit":
        return Pull(why="no prompt asks for the concept")
    with edit.live() as model:
        if model.hooks:
            return Pull(why="what its hooks do is not in the two predictions alone")
    if edit.model.latent_shape != base.model.latent_shape:
        return Pull(why="the two models draw differently")
    bank = Bank.of(held.latents, ENTRIES, seed=bench.seed)

    def measure() -> Made:
        before, after = (_predictions(bench, arm, held, bank) for arm in (base, edit))
        shares = projected(before, after)
        finite = isfinite(shares.null) and isfinite(shares.concept)
        return {}, {"null": shares.null, "concept": shares.concept} if finite else None

    key = {"pull": bank.digest, "pictures": list(held.hashes), "from": base.identity}
    kept: Any = bench.kept(LOSS, edit, key, measure).record
    if kept is None:
        return Pull(why="the predictions are no finite numbers")
    return Pull(found=Guidance(null=kept["null"], concept=kept["concept"]))


def projected(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> Guidance:
    """D_u and D_c from predictions (n, c, h, w), each pair with the caption and without.

    The direction at each point is the first model's own ``p(caption) - p(null)``; both are shares
    of its length.
    """
    direction = (before[0] - before[1]).flatten(1)  # (n, d)
    size = direction.square().sum()
    caption, null = (
        float(((new - old).flatten(1) * direction).sum() / size)
        for new, old in zip(after, before, strict=True)
    )
    return Guidance(concept=caption, null=null)


@torch.no_grad()
def _predictions(bench: Bench, arm: Arm, held: HeldOut, bank: Bank) -> tuple[Tensor, Tensor]:
    """Of one model at noisy pictures of the concept, with its name and without a prompt."""
    name = naming(bench.plain, bench.full)[:1]
    with arm.live() as model:
        x0 = held.latents[bank.picture].to(model.device)
        x = model.noise(x0, bank.eps.to(x0), bank.u.to(x0)).cpu()
        points = Points(x=x, u=bank.u, row=torch.zeros(len(bank), dtype=torch.int64))
        caption, null = (
            answers(model, points, cond) for cond in (model.encode(name), empty(model))
        )
    return caption, null
