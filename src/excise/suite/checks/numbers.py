"""Are there enough numbers, and are they numbers?"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from excise.reporting.subject import Check
from excise.reporting.wording import listed, number, percent, points
from excise.suite.checks.base import Evidence

POWER = 0.8


def not_finite(seen: Evidence) -> Iterator[Check]:
    """Scores or figures that are not finite.

    Raised if: a judge's score, or a figure made from scores, is infinite or not a number.
    Explanation: a black picture of an overflowed model scores nothing, and would count as "gone".
    """
    bad: dict[str, int] = {}
    for (arm, _), look in seen.bench.looks.items():
        what = f"plain pictures of {seen.label(arm)}"
        bad[what] = bad.get(what, 0) + int((~look.sheet.values.isfinite()).any(dim=1).sum())
    table = seen.book.table
    if table is not None:
        odd = ~np.isfinite(table.values)
        for group, arm in zip(table.factors["group"][odd], table.factors["arm"][odd], strict=True):
            what = f"pictures of {seen.label(str(arm))} ({group})"
            bad[what] = bad.get(what, 0) + 1
    places = [f"{n} of {what}" for what, n in bad.items() if n]
    if places:
        yield Check(
            name="scores_not_finite",
            level="error",
            found=f"A judge gave no finite score to {listed(places)}.",
            meaning="Such pictures count as if the concept were not in them.",
            advice="Look at the pictures; draw in float32 if they are black.",
        )
    if seen.book.odd:
        yield Check(
            name="figures_not_finite",
            level="error",
            found=f"No finite number came out for: {listed(seen.book.odd)}.",
            meaning="The model's prediction overflowed there; the figures are left out.",
            advice="Evaluate in float32.",
        )


def power(seen: Evidence) -> Iterator[Check]:
    """A claim beyond the sample's power.

    Raised if: these many pictures would show an edit that is exactly as good as the oracle to be
    so with a probability below 0.8, by the normal approximation and the spread that was seen.
    Otherwise the probability is said.
    Explanation: "not shown to be worse" is then no evidence of being as good.
    """
    record = seen.record
    excess = record.excess
    attack = next((a for a in record.attacks if excess and a.name == excess.attack), None)
    rung = attack.counts if attack else None
    arm = record.arm("edit")
    if excess is None or rung is None or arm is None or excess.upper <= excess.value:
        return
    normal, margin = NormalDist(), record.criteria.excess
    quantile = normal.inv_cdf(excess.level)
    chance = normal.cdf(quantile * (margin / (excess.upper - excess.value) - 1))
    enough = chance >= POWER
    yield Check(
        name="power",
        level="info" if enough else "warning",
        found=f"{number(rung.rates[arm.key].n)} pictures of each model under attack.",
        meaning="An edit that is exactly as good as the reference would be shown to lie within "
        f"{points(margin)} of it with a probability of {percent(chance)}.",
        advice="" if enough else "Evaluate at a larger budget.",
    )
