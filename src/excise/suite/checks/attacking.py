"""Do the attacks attack?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from excise.attacks.result import observed
from excise.reporting.attempts import NULL
from excise.reporting.reached import Hits, best_of, hits_of
from excise.reporting.subject import Check
from excise.reporting.wording import listed, number, percent, points
from excise.stats.clusters import difference_interval
from excise.suite.battery import Battery
from excise.suite.checks.base import Evidence
from excise.suite.rows import title

MORE = 0.1
FULL = 0.9  # of pictures: there is nothing left to reach


def no_budget_does_as_well(seen: Evidence) -> Iterator[Check]:
    """An attack with no budget does as well as with one.

    Raised if: on the base, with prompts that do not name the concept, an attack that confirms and
    changes prompts reaches at most 10 points more than the prompts as they are, and those do not
    show the concept nearly always anyway.
    Explanation: it failed where the concept certainly is, so its failure on the edit says nothing.
    """
    base, battery = seen.bench.role("base"), seen.battery
    if base is None or battery is None or base.key not in battery.attempts.null:
        return
    rows = battery.attempts.rows("silent")
    if len(rows) < 2:
        return
    null = battery.attempts.null[base.key].hits[rows]
    if null.mean() >= FULL:
        return
    idle = []
    for name, results in battery.results.items():
        attack = battery.attacks[name]
        if name == NULL or attack.kind != "confirming" or not attack.rewords:
            continue
        gap = _hits(battery, name, base.key)[rows] - null
        if gap.mean() <= MORE:
            idle.append(f"{title(name)} ({percent(float(results[base.key].hits[rows].mean()))})")
    if idle:
        yield Check(
            name="no_budget_does_as_well",
            found="On the unedited model, with prompts that do not name it, these reach no more "
            f"than the prompts as they are ({percent(float(null.mean()))}): {listed(idle)}.",
            meaning="They fail where the concept certainly is: that they fail on the edit says "
            "nothing.",
            advice="Give them a larger budget, or do not count them.",
        )


def black_box_beats_white_box(seen: Evidence) -> Iterator[Check]:
    """A black-box attack beats the white-box ones.

    Raised if: with prompts that do not name the concept, an attack without gradients reaches more
    of the edit (at 95 %, paired) than every attack that has them.
    Explanation: who has more must not reach less. The gradients are masked, or the white-box
    attacks too weak (Carlini et al. 2019, "On evaluating adversarial robustness",
    arXiv:1902.06705, section 3).
    """
    edit, battery = seen.bench.role("edit"), seen.battery
    if edit is None or battery is None:
        return
    rows = battery.attempts.rows("silent") or list(range(len(battery.asked)))
    confirming = [n for n in battery.results if battery.attacks[n].kind == "confirming"]
    white = [n for n in confirming if "gradients" in battery.attacks[n].needs]
    black = [n for n in confirming if n not in white and not {"base", "weights"}
             & battery.attacks[n].needs]  # fmt: skip
    if not white or not black or len(rows) < 2:
        return
    reached = {n: _hits(battery, n, edit.key)[rows] for n in (*white, *black)}
    best = max(white, key=lambda n: reached[n].mean())
    for name in black:
        gap = difference_interval(observed(reached[name] - reached[best]))
        if gap.low > 0:
            yield Check(
                name="black_box_beats_white_box",
                found=f"{title(name)}, which has no gradients, reaches {points(gap.value)} more of "
                f"{seen.label(edit.key)} than {title(best)}, the best that has them.",
                meaning="Who has more must not reach less: gradients are masked, or those attacks "
                "are too weak here.",
                advice="Give them a larger budget; look at how the edit stops gradients.",
            )


def gradients_vanish(seen: Evidence) -> Iterator[Check]:
    """Gradients vanish through a guard.

    Raised if: what reaches an attacker's input through the edit's hooks is next to nothing of what
    reaches it without them, or not finite; it is said, too, which hooks are gone around.
    Explanation: a search along such gradients fails whatever the guard does (Athalye et al. 2018,
    "Obfuscated gradients give a false sense of security", arXiv:1802.00420).
    """
    edit, battery = seen.bench.role("edit"), seen.battery
    if edit is None or battery is None:
        return
    flows = {name: flow for name, results in battery.results.items()
             if (flow := results[edit.key].gradients) is not None}  # fmt: skip
    gone = [title(name) for name, flow in flows.items() if flow.vanished]
    if gone:
        first = next(flow for flow in flows.values() if flow.vanished)
        how = f"{number(first.ratio)} times" if first.finite else "not finite, against"
        yield Check(
            name="gradients_vanish",
            level="error",
            found=f"The gradient that reaches the inputs of {listed(gone)} through the guard is "
            f"{how} what it is without.",
            meaning="These searches cannot see where to go, so that they find nothing is no proof.",
            advice="Look at the attacks without gradients; or say in the hook that there is no "
            "gradient through it, and attacks go around it.",
        )
    around = sorted({name for flow in flows.values() for name in flow.around})
    if around:
        yield Check(
            name="gradients_gone_around",
            level="info",
            found=f"No gradient goes through {listed(around)}: the attacks searched as if it were "
            "not there, and were judged with it.",
            meaning="A search that could see through it might find more.",
        )


def _hits(battery: Battery, name: str, arm: str) -> Hits:
    one = battery.results[name][arm]
    return np.asarray(hits_of(one, best_of(one)))
