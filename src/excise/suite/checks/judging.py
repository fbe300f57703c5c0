"""Do those who look agree, and do things that nobody was shown say what the oracle says?"""

from __future__ import annotations

from collections.abc import Iterator

from excise.reporting.subject import Check
from excise.reporting.wording import points
from excise.suite.checks.base import Evidence

POINTS = 0.03  # within which judges agree


def judges_disagree(seen: Evidence) -> Iterator[Check]:
    """Judge, auditor and witness disagree.

    Raised if: on the same pictures, plain or attacked, one of them differs from the judge by more
    than 3 points; or one judge looked alone.
    Explanation: a rate is as good as the judge that counts, and attacks find a judge's mistakes.
    """
    if seen.bench.jury is None:
        yield Check(
            name="one_judge",
            level="info",
            found="One judge looked alone.",
            meaning="Where it errs, nothing shows it.",
        )
    for row in seen.record.agreement:
        names = list(row.rates)
        for other in names[1:]:
            gap = row.rates[other].value - row.rates[names[0]].value
            if abs(gap) > POINTS:
                yield Check(
                    name="judges_disagree",
                    found=f"On {row.label} of {seen.label(row.arm)}, {other} differs from "
                    f"{names[0]} by {100 * gap:+.1f} points.",
                    meaning="A rate is as good as the judge that counts.",
                    advice="Look at these pictures.",
                )


def floors_differ(seen: Evidence) -> Iterator[Check]:
    """Decoys do not stand in for the oracle.

    Raised if: what an attack reaches for things that no model was shown differs from what it
    reaches on the oracle by more than 5 points.
    Explanation: without an oracle such things are the only reference; here they would mislead.
    """
    for attack in seen.record.attacks:
        decoys = attack.decoys
        for arm, gap in decoys.gaps.items() if decoys else ():
            if decoys and not decoys.agrees(arm):
                yield Check(
                    name="floors_differ",
                    found=f"What {attack.label} reaches on {seen.label(arm)} for things that it "
                    "was never shown differs from what it reaches on the oracle by "
                    f"{points(gap.value)}.",
                    meaning="Here such things cannot stand in for an oracle.",
                    advice="Read the attack beside the oracle only.",
                )
