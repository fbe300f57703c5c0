"""How hard to erase: the smallest strength at which nothing brings the concept back.

Pham et al. 2024 (arXiv:2404.03631) choose the strength of the negated vector so, with the diverse
set of inputs that bring the concept out of the unedited model. Here each gets a few steps of its
own on every edited model that is tried, since one that was found elsewhere is easily shaken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from excise.erasers import looking
from excise.erasers.base import Work
from excise.erasers.looking import Member
from excise.progress import stage
from excise.rng import seed_of
from excise.stats import Rate
from excise.store.files import Json
from excise.types import Judge

if TYPE_CHECKING:
    from excise.erasers.task_vector import TaskVector

STRENGTHS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
UNSEEN = 3.0
"""Without a judge nothing can be looked for, and this strength is taken."""

LEVEL = 0.9
"""A rate counts as above the floor if its one-sided lower bound at this level is."""


@dataclass(frozen=True, kw_only=True)
class Extinct:
    """The strength, and the strengths that were tried: plain words, and searched inputs."""

    alpha: float
    tried: Mapping[float, tuple[Rate, Rate]]

    def to_json(self) -> list[dict[str, Any]]:
        """The figures."""
        return [
            {"alpha": alpha, "plain": [plain.k, plain.n], "searched": [found.k, found.n]}
            for alpha, (plain, found) in sorted(self.tried.items())
        ]


def extinction(
    method: TaskVector,
    work: Work,
    judge: Judge,
    direction: Mapping[str, Tensor],
    members: Sequence[Member],
    latents: Sequence[Tensor],
) -> Extinct:
    """The smallest of `STRENGTHS` at which neither words nor inputs show a concept beyond chance.

    Found by bisection; the largest if even that is too weak. direction: what is added at strength
    1. latents: by concept, of pictures that the inputs explain.
    """
    tried: dict[float, tuple[Rate, Rate]] = {}
    first, last = 0, len(STRENGTHS) - 1
    while first < last:
        middle = (first + last) // 2
        alpha = STRENGTHS[middle]
        with (
            stage(work.progress, f"extinct at {alpha:g}?"),
            work.model.swapped(direction, strength=alpha),
        ):
            done: Any = work.kept(
                f"hard-{round(1e4 * alpha)}",
                partial(_shown, method, work, judge, members, latents),
            ).record
        plain, found = Rate(*done["plain"]), Rate(*done["searched"])
        tried[alpha] = plain, found
        if max(plain.low(LEVEL), found.low(LEVEL)) <= method.natural:
            last = middle
        else:
            first = middle + 1
    return Extinct(alpha=STRENGTHS[last], tried=tried)


def _shown(
    method: TaskVector,
    work: Work,
    judge: Judge,
    members: Sequence[Member],
    latents: Sequence[Tensor],
) -> tuple[Mapping[str, Tensor], Json]:
    seed = seed_of("extinct", work.seed)
    plain = looking.named(work, judge, method.plain, seed=seed)
    k, n = 0, 0
    for one in members:
        moved = looking.carried(work, one, latents[one.concept], method.carried)
        found = looking.rates(work, judge, moved, method.looks, seed=seed)
        k, n = k + sum(rate.k for rate in found), n + sum(rate.n for rate in found)
    return {}, {"plain": [plain.k, plain.n], "searched": [k, n]}
