"""Every object and style by itself: how much of what the base draws right is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from excise.metrics.base import BASE, EDIT, Metric, Work, rate_json
from excise.primitives.kept import kept
from excise.primitives.panel import title
from excise.primitives.prompts import kept_concepts, neighbours


@dataclass(frozen=True, kw_only=True)
class KeptRate(Metric):
    """Rates of the right label by class, and their ratio to the base's at equal seeds.

    Objects are drawn plainly, styles with changing objects; a class with synonyms is also drawn by
    those. Without a base there are rates and no ratios.

    pictures: a class; twice as many for the three nearest neighbours of each concept.
    level: of the intervals, and of the one-sided bound of the mean.
    """

    name: ClassVar[str] = "kept"

    level: float = 0.95

    def answer(self, work: Work) -> Mapping[str, Any]:
        """mean, lower, worst, nearest, classes, nothing, by the names of `Kept`."""
        judge = work.judged(self.name)
        probe = self.kept_probe(work)
        edit = work.look(EDIT, probe)
        rows = kept_concepts(work.plain, work.concepts, probe.labels)
        kinds = {row.name: row.kind for row in rows}
        if BASE not in work.arms:
            rates = {g: {"edit": rate_json(edit.rate(g, self.level))} for g in probe.groups}
            found: dict[str, Any] = {"classes": rates, "pictures": len(probe)}
            found["nothing"] = {"edit": float(edit.sheet.nothing.float().mean())}
        else:
            base = work.look(BASE, probe)
            near = neighbours(work.plain, work.concepts, rows)
            found = kept(edit, base, near, level=self.level).to_json()
            for arm, look in (("edit", edit), ("base", base)):
                found["nothing"][arm] = float(look.sheet.nothing.float().mean())
        for name, row in found["classes"].items():
            row["kind"] = kinds[name]
        return {"judge": title(judge), **found}
