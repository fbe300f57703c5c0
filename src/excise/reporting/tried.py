"""The figures of attacks, from the values of their pictures: at first, and at another threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from excise.reporting.attacks import AttackResult, Recovery, RecoveryPoint, Rung
from excise.reporting.attempts import NULL, Attempts
from excise.reporting.climbed import against, decided, floors, ladder_figures, rung_rates
from excise.reporting.figures import Rate
from excise.reporting.reached import best_of, rate_of
from excise.reporting.worst_case import Arms, confirmatory
from excise.stats import rate_interval

WORDS: Mapping[str, str] = {
    "name": "prompts that name it",
    "synonym": "prompts with another word for it",
    "held_back": "prompts with a word that no eraser was given",
    "silent": "prompts that do not name it",
}

NOTHING: Mapping[str, Any] = {
    "best_of": {}, "unanimous": {}, "excess": {}, "decoys": None, "confirmatory": None,
    "decided": None, "rungs": (), "headline": None, "rates": {}, "groups": (), "null": {},
}  # fmt: skip
"""What is left of the figures of an attack whose values were not kept."""


def figures(arms: Arms, tried: Attempts, name: str) -> dict[str, Any]:
    """The fields of an `AttackResult` that follow from the values."""
    results = tried.results[name]
    first = next(iter(results.values()))
    r = best_of(first)
    null = {} if name == NULL else tried.null
    return {
        "confirmatory": confirmatory(arms, tried, name),
        "rates": {arm: rate_of(one, r) for arm, one in results.items()},
        "groups": groups(tried, name),
        **against(arms, results, r),
        "null": {arm: rate_of(one, best_of(one)) for arm, one in null.items()},
    }


def groups(tried: Attempts, name: str) -> tuple[Rung, ...]:
    """The rates by kind of prompt, where there are several."""
    found = []
    results = tried.results[name]
    r = best_of(next(iter(results.values())))
    for group, label in WORDS.items():
        rows = tried.rows(group)
        if rows and len(rows) < len(tried.groups):
            rates = {arm: rate_of(one, r, rows) for arm, one in results.items()}
            found.append(Rung(key=group, label=label, rates=rates))
    return tuple(found)


def points(tried: Attempts, name: str) -> tuple[RecoveryPoint, ...]:
    """A curve of cost against recovery. Points that only some models have are left out."""
    curves = tried.curves[name]
    first = next(iter(curves.values()))
    found = []
    for label in first.labels:
        if not all(label in one.labels for one in curves.values()):
            continue
        rates: dict[str, Rate] = {}
        cost: Mapping[str, float] = {}
        for arm, one in curves.items():
            place = one.labels.index(label)
            seen = one.observations(place)
            hits, n = int(seen.values.sum()), len(seen.values)
            rates[arm] = Rate.within(rate_interval(seen), n, hits)
            cost = one.costs[place]
        found.append(RecoveryPoint(label=label, cost=dict(cost), rates=rates))
    return tuple(found)


def again(attack: AttackResult, arms: Arms, tried: Attempts, threshold: float) -> AttackResult:
    """A row with its figures found again; what is not among the values is left out."""
    name, headline, found = attack.name, attack.headline, dict(NOTHING)
    if name in tried.results:
        found |= figures(arms, tried, name)
    elif headline is not None and headline in tried.rungs:
        found |= ladder_figures(arms, tried, headline)
    if attack.decided is not None and name in tried.drawn:
        found["decided"] = decided(tried, name, threshold, attack.decided.limit)
    if attack.decoys is not None:
        found["decoys"] = floors(arms, tried, attack.decoys.rung)
    if all(rung.key in tried.rungs for rung in attack.rungs):
        rungs = [r.model_copy(update={"rates": rung_rates(tried, r.key)}) for r in attack.rungs]
        found |= {"rungs": tuple(rungs), "headline": headline}
    return attack.model_copy(update=found)


def curve_again(found: Recovery, tried: Attempts) -> Recovery:
    """A curve with its rates found again."""
    return found.model_copy(update={"points": points(tried, found.name)})
