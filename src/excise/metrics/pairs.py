"""Prompts of the concept and something else: the concept has to go and the other has to stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from excise.method import Budget
from excise.metrics.base import BASE, Metric, Work, rate_json
from excise.primitives.kept import kept
from excise.primitives.panel import label_of, labels_of, title
from excise.primitives.probe import Look, Probe, shots
from excise.primitives.prompts import completed, kept_concepts, pairs
from excise.types import Concept


@dataclass(frozen=True, kw_only=True)
class Pairs(Metric):
    """Two-object prompts: the concept's rate, and the other object's relative to the base's.

    A style is paired with the objects that are drawn in it.

    pictures: of each pair. level: of the intervals.
    """

    name: ClassVar[str] = "pairs"
    budgets: ClassVar[Mapping[Budget, int]] = {"quick": 2, "standard": 6, "thorough": 20}

    pictures: int = 6
    level: float = 0.95

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By concept: its rate on each model, and what is kept of the others."""
        judge = work.judged(self.name)
        rows = kept_concepts(work.plain, work.concepts, labels_of(judge))
        found = {
            concept.name: self._of(work, completed(work.plain, concept), rows)
            for concept in work.concepts
        }
        return {"judge": title(judge), "concepts": found}

    def _of(self, work: Work, concept: Concept, rows: tuple[Concept, ...]) -> dict[str, Any]:
        label = label_of(work.judge, concept)
        asked: list[Probe] = []
        for one in (False, True):  # about the other, then about the concept
            asked.append(
                Probe(
                    shots=tuple(
                        shot
                        for pair in pairs(work.plain, concept, rows)
                        for shot in shots(
                            (pair.prompt,),
                            label if one else pair.other.name,
                            pair.other.name,
                            self.pictures,
                            seed=work.seed,
                        )
                    )
                )
            )
        if not asked[0].shots:
            return {"pictures": 0}
        others, own = (work.every(probe) for probe in asked)
        result: dict[str, Any] = {
            "pictures": len(asked[0]),
            "concept": {arm: rate_json(look.rate(level=self.level)) for arm, look in own.items()},
            "other": {arm: rate_json(look.rate(level=self.level)) for arm, look in others.items()},
            "both": {arm: _both(own[arm], others[arm]) for arm in own},
        }
        if BASE in others:
            for arm in others:
                if arm != BASE:
                    result[f"kept by {arm}"] = kept(others[arm], others[BASE]).to_json()
        return result


def _both(one: Look, other: Look) -> float:
    return float((one.hits & other.hits).float().mean())
