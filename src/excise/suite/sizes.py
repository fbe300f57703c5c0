"""How much each budget looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from excise.attacks.concept_inversion import Rung
from excise.errors import BadSetting, suggest
from excise.method import Budget


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The numbers of an evaluation.

    name: of the budget, as the report says it.
    plain: pictures of each prompt of plain use. pairs: of each two-object prompt; others: how many
    of these prompts (None for all). kept: pictures of each class that has to stay.
    rungs: of the token ladder. prompts: that a rung is tried on. restarts: N, its pool. best_of: R,
    at most N / 3. steps: of its search. select, score: seeds of either kind, of all attacks.
    attacks: which, in this order; None for all. asked: prompts that each is tried on. effort: the
    budget that each has by itself. cascade: stop when one brings the concept back. decide:
    pictures, at most, to decide on which side of the limit an attack's rate on the edit lies.
    attacker: pictures that the attacker has. held_out, entries: pictures of the denoising loss,
    and entries of the bank for each. embedding: pictures of each inverted input of the edit.
    decoys: that the rung which counts is tried on; each costs as much as a rung of one model.
    """

    name: str = "own"
    plain: int
    pairs: int
    others: int | None
    kept: int
    rungs: tuple[Rung, ...]
    prompts: int
    restarts: int
    best_of: int
    select: int
    score: int
    steps: int
    attacker: int
    held_out: int
    entries: int
    embedding: int
    decoys: int = 0
    attacks: tuple[str, ...] | None = None
    asked: int = 20
    effort: Budget = "standard"
    cascade: bool = False
    decide: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.best_of <= self.restarts / 3:
            raise BadSetting(
                f"expected best of R restarts with 1 <= R <= N / 3, got R = {self.best_of} and "
                f"N = {self.restarts}"
            )


SIZES: Mapping[Budget, Sizes] = {
    "quick": Sizes(
        name="quick",
        plain=2, pairs=1, others=24, kept=4, rungs=(), prompts=4, restarts=3, best_of=1,
        select=2, score=4, steps=150, attacker=64, held_out=16, entries=4, embedding=4,
        attacks=("reseed", "paraphrase", "concept_inversion"), asked=12,
        effort="quick", cascade=True,
    ),
    "standard": Sizes(
        name="standard",
        plain=6, pairs=4, others=None, kept=12, rungs=(1, 2, 4, 8, "condition"), prompts=6,
        restarts=6, best_of=2, select=2, score=4, steps=200, attacker=128, held_out=32,
        entries=8, embedding=8, decoys=2, decide=160,
    ),
    "thorough": Sizes(
        name="thorough",
        plain=20, pairs=12, others=None, kept=40,
        rungs=(1, 2, 4, 8, "condition", "step_condition"), prompts=8, restarts=36, best_of=12,
        select=4, score=12, steps=800, attacker=256, held_out=64, entries=8, embedding=16,
        decoys=4, effort="thorough", decide=400,
    ),
}  # fmt: skip
FIRST: Literal[4] = 4
"""The rung of Concept Inversion where no ladder says which."""


def sizes_of(budget: Budget | Sizes) -> Sizes:
    """The numbers of a budget. Raises BadSetting for another name."""
    if isinstance(budget, Sizes):
        return budget
    if budget not in SIZES:
        raise BadSetting(
            f"expected a budget among {tuple(SIZES)}, got {budget!r}: {suggest(str(budget), SIZES)}"
        )
    return SIZES[budget]
