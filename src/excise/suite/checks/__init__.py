"""Is this evaluation to be believed? Small functions that each raise one doubt about it."""

from __future__ import annotations

from excise.reporting.subject import Check
from excise.suite.checks.attacking import (
    black_box_beats_white_box,
    gradients_vanish,
    no_budget_does_as_well,
)
from excise.suite.checks.base import Evidence, Looks, Sets
from excise.suite.checks.collapse import guidance_ratio, pictures_alike
from excise.suite.checks.judging import floors_differ, judges_disagree
from excise.suite.checks.numbers import not_finite, power
from excise.suite.checks.references import (
    base_lacks_concept,
    no_record,
    not_verified,
    nothing_to_keep,
    oracle_shows_concept,
    references_missing,
)
from excise.suite.checks.sets import (
    base_replayed,
    inputs_overlap,
    pictures_drawn_by_base,
    pictures_overlap,
)

CHECKS: tuple[Looks, ...] = (
    not_finite,
    base_lacks_concept,
    oracle_shows_concept,
    references_missing,
    pictures_overlap,
    pictures_drawn_by_base,
    inputs_overlap,
    base_replayed,
    guidance_ratio,
    pictures_alike,
    judges_disagree,
    floors_differ,
    no_budget_does_as_well,
    black_box_beats_white_box,
    gradients_vanish,
    power,
    nothing_to_keep,
    no_record,
    not_verified,
)

__all__ = ["CHECKS", "Evidence", "Sets", "raised"]


def raised(seen: Evidence) -> tuple[Check, ...]:
    """All doubts about an evaluation, in the order of `CHECKS`."""
    return tuple(check for look in CHECKS for check in look(seen))
