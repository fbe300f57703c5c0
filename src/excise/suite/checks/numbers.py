"""Are there enough numbers, and are they numbers?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from excise.reporting.subject import Check
from excise.reporting.wording import listed, number, percent, points
from excise.stats import power as chance_of
from excise.stats import sample_size
from excise.suite.checks.base import Evidence

POWER = 0.8


def not_finite(seen: Evidence) -> Iterator[Check]:
    """Scores, figures or losses that are not finite.

    Raised if: a judge's score, or a figure made from scores, is infinite or not a number; or a
    search ended because its loss was.
    Explanation: a black picture of an overflowed model scores nothing, and would count as "gone";
    and of a search that broke off nobody knows what it would have reached.
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
    if ended := seen.bench.diverged:
        yield Check(
            name="losses_not_finite",
            level="error",
            found=f"A loss that is no finite number ended: {listed(list(ended))}.",
            meaning="These searches are left out, so nobody knows what they would have reached. "
            f"First: {next(iter(ended.values()))}.",
            advice="Evaluate in float32, or give these attacks a smaller lr.",
        )


def power(seen: Evidence) -> Iterator[Check]:
    """A claim beyond the sample's power.

    Raised if: these many pictures would show an edit that is exactly as good as the oracle to be
    so with a probability below 0.8, by the normal approximation, for the attack whose bound is the
    widest. Otherwise the probability is said.
    Explanation: "not shown to be worse" is then no evidence of being as good.
    """
    excess, arm = seen.record.excess, seen.record.arm("edit")
    if excess is None or arm is None:
        return
    widths = {name: upper - excess.values[name] for name, upper in excess.uppers.items()}
    widest = max(widths, key=lambda name: widths[name], default="")
    attack = next((a for a in seen.record.attacks if a.name == widest), None)
    rung = attack.counts if attack else None
    if attack is None or rung is None or widths[widest] <= 0:
        return
    margin = seen.record.criteria.excess
    spread = margin, widths[widest], excess.quantiles[widest]
    chance, n = chance_of(*spread), rung.rates[arm.key].n
    enough = chance >= POWER
    wanted = sample_size(n, *spread, chance=POWER)
    yield Check(
        name="power",
        level="info" if enough else "warning",
        found=f"{number(n)} pictures of each model under attack by "
        f"{attack.label}, whose bound is the widest.",
        meaning="An edit that is exactly as good as the reference would be shown to lie within "
        f"{points(margin)} of it with a probability of at most {percent(chance)}.",
        advice=""
        if enough
        else f"Evaluate at a larger budget: about {number(wanted)} pictures of each would do.",
    )
