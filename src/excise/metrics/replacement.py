"""What is drawn in the concept's place: one thing, or a spread like that of an oracle?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any, ClassVar

from excise.method import Budget
from excise.metrics.base import Metric, Work
from excise.primitives.panel import label_of, title
from excise.primitives.probe import plain_probe
from excise.primitives.prompts import completed
from excise.types import Concept


@dataclass(frozen=True, kw_only=True)
class Replacement(Metric):
    """The judge's strongest label of each picture from prompts that name the concept.

    Of a style's prompts the strongest style is counted, of others the strongest thing.

    pictures: of each prompt, which are every name in ten templates.
    """

    name: ClassVar[str] = "replacement"
    budgets: ClassVar[Mapping[Budget, int]] = {"quick": 1, "standard": 4, "thorough": 12}

    pictures: int = 4

    def answer(self, work: Work) -> Mapping[str, Any]:
        """By concept and model: counts by label, the largest share, the effective number."""
        judge = work.judged(self.name)
        found: dict[str, Any] = {}
        for concept in work.concepts:
            full = completed(work.plain, concept)
            probe = plain_probe(
                work.plain, full, self.pictures, seed=work.seed, judge=judge, unnamed=False
            )
            own = label_of(judge, full)
            found[concept.name] = {
                arm: histogram(look.sheet.strongest(_among(work, full, look.sheet.things)), own)
                for arm, look in work.every(probe).items()
            }
        return {"judge": title(judge), "concepts": found}


def histogram(drawn: Sequence[str], own: str) -> dict[str, Any]:
    """Counts of labels, the commonest first; the rest of the figures leave the concept out.

    kinds: the effective number of labels, e to the power of the entropy; 1 if it is always the
    same, 0 if there is nothing but the concept.
    """
    counts = Counter(drawn)
    ranked = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    others = {label: n for label, n in ranked.items() if label != own}
    total = sum(others.values())
    shares = [n / total for n in others.values()]
    return {
        "pictures": len(drawn),
        "counts": ranked,
        "concept": counts[own] / len(drawn) if drawn else 0.0,
        "largest": next(iter(others), None),
        "largest_share": max(shares, default=0.0),
        "kinds": exp(-sum(p * log(p) for p in shares)) if shares else 0.0,
    }


def _among(work: Work, concept: Concept, things: Sequence[str]) -> tuple[str, ...]:
    if concept.kind != "style":
        return tuple(things)
    known = tuple(row.name for row in work.plain.known if row.kind == "style")
    return (*known, concept.name, "plain") if known else tuple(things)
