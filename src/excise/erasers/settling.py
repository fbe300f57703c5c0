"""Settle the strength of a task vector: search, attack what was chosen, and search again.

Until an attack on the chosen edit finds nothing, what it found joins the choose-set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from excise.edit import Edit, Recipe
from excise.erasers.base import Change, Work
from excise.erasers.choosing import Finder, Trial
from excise.errors import Infeasible
from excise.primitives import arithmetic
from excise.primitives.strength import Floors, Search, search
from excise.types import Judge

if TYPE_CHECKING:
    from excise.erasers.task_vector import TaskVector

Deltas = Mapping[str, Tensor]


def settled(
    method: TaskVector, work: Work, judge: Judge, direction: Deltas, record: Mapping[str, Any]
) -> Change:
    """The direction at the strength that was found, with how it was found added to the record.

    Raises Infeasible where no strength both erases and keeps, with the edits at both ends.
    """
    finder = Finder.of(method, work, judge)
    result, rounds, verified = _searched(method, finder, direction)
    facts = {
        **record,
        "strength_search": result.to_json(),
        "choose": finder.record(),
        "rounds": rounds,
    }
    if result.chosen is None:
        ends = _ends(method, finder, direction, result, facts)
        raise Infeasible(_why(method, result), details=ends)
    return Change(
        deltas=arithmetic.scaled(direction, result.chosen),
        record={**facts, "strength": result.chosen},
        tensors=finder.tensors(),
        verified=verified,
    )


def _searched(
    method: TaskVector, finder: Finder, direction: Deltas
) -> tuple[Search, list[dict[str, Any]], bool]:
    """The search that counts, the attacks, and whether the one on what it chose found nothing.

    What an attack brings back joins the choose-set. A strength at which a rate over all is above
    its floor gives way to the next best, also where the readings, whose inputs were found on the
    unedited model or at another strength, say nothing against it. Where none passes, the one is
    answered that was attacked and came nearest to passing: what the readings say of it is what it
    was chosen by.
    """
    floors, (grid, refine) = finder.floors, method.strengths
    level = 1 - 0.05 / method.rounds  # the error is split between the attacks
    rounds: list[dict[str, Any]] = []
    refused: set[float] = set()
    attacked: dict[float, Trial] = {}
    while True:
        result = search(
            lambda alpha: finder.reading(direction, alpha), floors=floors, grid=grid, refine=refine
        )
        alpha = result.best(refused)
        if alpha is None or len(rounds) == method.rounds:
            return replace(result, chosen=_least(result, attacked, floors)), rounds, False
        attacked[alpha] = trial = finder.attacked(direction, alpha, len(rounds))
        rounds.append({"alpha": alpha, **trial.to_json(level)})
        if trial.passed(floors):
            return replace(result, chosen=alpha), rounds, True
        finder.choose.extend(trial.back)
        if trial.margin(floors) < 0:
            refused.add(alpha)


def _least(result: Search, attacked: Mapping[float, Trial], floors: Floors) -> float | None:
    """Of the strengths that were attacked, and are still between the ends, the least short."""
    able = [alpha for alpha in attacked if result.between(alpha)]
    return max(able, key=lambda alpha: attacked[alpha].margin(floors), default=result.chosen)


def _ends(
    method: TaskVector,
    finder: Finder,
    direction: Deltas,
    result: Search,
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a search without an answer, and the edits at both of its ends."""
    work = finder.work
    at = {"erases": result.erased_from, "keeps": result.kept_to, "nearest": result.nearest}
    recipe = Recipe.of(method, work.concepts, seed=work.seed)
    return {
        **record,
        "pictures": list(work.used.values()),
        "nearest": result.nearest,
        "tensors": finder.tensors(),
        "ends": {
            name: Edit.of(work.model, arithmetic.scaled(direction, alpha), recipe=recipe)
            for name, alpha in at.items()
            if alpha is not None
        },
    }


def _why(method: TaskVector, result: Search) -> str:
    healing = (
        f"heal for longer (--set heal={2 * method.heal} --set walks={2 * method.walks})"
        if method.variant == "healed"
        else "heal it (--set variant=healed)"
    )
    remedy = (
        f"hold it down at more inputs (--set embeddings={2 * method.embeddings})"
        if result.erased_from is None
        else healing
    )
    erased = "no strength tried" if result.erased_from is None else f"{result.erased_from:g}"
    stays = "no strength tried" if result.kept_to is None else f"{result.kept_to:g}"
    return (
        f"infeasible: the concept is gone from strength {erased}, everything else is kept up to "
        f"strength {stays}; the nearest to both is {math.floor(result.nearest * 100) / 100:g}. "
        f"{remedy[0].upper()}{remedy[1:]}, or try another method (--method esd)"
    )
