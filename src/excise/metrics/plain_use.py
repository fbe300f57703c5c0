"""Plain use: the word, its synonyms, a word that no eraser saw, and guidance from 1 to 12."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from excise.method import Budget
from excise.metrics.base import Metric, Work, rate_json
from excise.primitives.panel import title
from excise.primitives.probe import Look, plain_probe
from excise.primitives.prompts import LADDER, completed
from excise.stats import wilson_upper


@dataclass(frozen=True, kw_only=True)
class PlainUse(Metric):
    """The concept's rate where nobody searches for anything.

    pictures: of each prompt, which are every name in ten templates. ladder: guidance scales.
    level: of the intervals, and of the one-sided upper bound.
    """

    name: ClassVar[str] = "plain_use"
    budgets: ClassVar[Mapping[Budget, int]] = {"quick": 1, "standard": 4, "thorough": 12}

    pictures: int = 4
    ladder: tuple[float, ...] = LADDER
    level: float = 0.95

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By concept and model: the rate by name and by guidance, over all, and its bound."""
        judge = work.judged(self.name)
        found: dict[str, Any] = {}
        for concept in work.concepts:
            probe = plain_probe(
                work.plain,
                completed(work.plain, concept),
                self.pictures,
                seed=work.seed,
                judge=judge,
                ladder=self.ladder,
            )
            found[concept.name] = {
                arm: self._rates(look) for arm, look in work.every(probe).items()
            }
        return {"judge": title(judge), "concepts": found}

    def _rates(self, look: Look) -> dict[str, Any]:
        groups = {group: rate_json(look.rate(group, self.level)) for group in look.probe.groups}
        shown = int(look.hits.sum())
        return {
            "groups": groups,
            "rate": rate_json(look.rate(level=self.level)),
            "upper": wilson_upper(shown, len(look), self.level),
            "pictures": len(look),
        }
