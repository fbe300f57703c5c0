"""What a report is made from while it is being made: the table of scores, pictures, figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Literal

from torch import Tensor

from excise.primitives.probe import Look
from excise.reporting.attempts import Attempts
from excise.reporting.figures import Estimate, Rate
from excise.reporting.sheets import ScoreSheet
from excise.reporting.subject import Pictures
from excise.reporting.tables import Scores
from excise.stats import Interval
from excise.types import Score

CLUSTERS = ("prompt",)
"""What the pictures of one rate share."""

PictureKind = Literal[
    "concept", "synonym", "held_back", "neighbour", "unrelated", "two_objects", "embedding",
    "attack", "strength",
]  # fmt: skip


@dataclass(eq=False, kw_only=True)
class Book:
    """Collects rows and sheets in the order in which sections add them.

    odd: what came out as no finite number, and is left out of the report. raw: every class's
    scores.
    """

    scores: list[Scores] = field(default_factory=list)
    raw: list[ScoreSheet] = field(default_factory=list)
    groups: list[Pictures] = field(default_factory=list)
    sheets: dict[str, Tensor] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    attempts: Attempts | None = None

    def rate(self, group: str, arm: str, look: Look, label: str) -> Rate:
        """Enter how a judge scored the pictures of a look, and say how many show the label."""
        shots = look.probe.shots
        return self.enter(
            group,
            arm,
            look.sheet.score(label),
            prompts=[shot.prompt.text for shot in shots],
            seeds=[shot.seed for shot in shots],
        )

    def keep(self, section: str, looks: Mapping[str, Look]) -> None:
        """Enter what was said of every class, of each picture of a section, by arm."""
        self.raw += [ScoreSheet.of(section, arm, look) for arm, look in looks.items()]

    def enter(
        self, group: str, arm: str, score: Score, *, prompts: Sequence[str], seeds: Sequence[int]
    ) -> Rate:
        """Enter scores, and say how many pictures show the label."""
        part = Scores.of(score, group=group, arm=arm, prompts=prompts, seeds=seeds)
        self.scores.append(part)
        rate = Scores.concat([part], CLUSTERS).rate()
        if rate is None:
            raise ValueError(f"expected pictures of {group}, got none")
        return rate

    def pictures(
        self,
        key: str,
        kind: PictureKind,
        title: str,
        *,
        prompts: Sequence[str],
        seeds: Sequence[int],
        by_arm: Mapping[str, Tensor],
        shown: Mapping[str, Sequence[bool]],
        guidance: float | None = None,
    ) -> str:
        """Enter pictures, uint8 (n, 3, h, w) by arm, at the same prompts and seeds; their key."""
        safe = re.sub(r"[^a-z0-9]+", "-", key.casefold()).strip("-")
        names = {arm: f"images/{safe}-{arm}.png" for arm in by_arm}
        self.sheets |= {names[arm]: tensor for arm, tensor in by_arm.items()}
        first = next(iter(by_arm.values()))
        self.groups.append(
            Pictures(
                key=key,
                kind=kind,
                title=title,
                prompts=tuple(prompts),
                seeds=tuple(seeds),
                guidance=guidance,
                sheets=names,
                size=(first.shape[-2], first.shape[-1]),
                shown={arm: tuple(bool(x) for x in flags) for arm, flags in shown.items()},
            )
        )
        return key

    def estimates(self, what: str, found: Mapping[str, Interval]) -> dict[str, Estimate]:
        """Figures by arm; what is not finite goes to `odd` instead.

        Bounds that are one number come from a single cluster, or from values that are all the
        same: they say nothing, and are left out.
        """
        kept = {}
        for arm, figure in found.items():
            if not all(isfinite(x) for x in (figure.value, figure.low, figure.high)):
                self.odd.append(f"{what}, {arm}")
            elif figure.low == figure.high:
                kept[arm] = Estimate(value=figure.value)
            else:
                kept[arm] = Estimate.within(figure)
        return kept

    @property
    def table(self) -> Scores | None:
        """All rows; None without any."""
        if not self.scores:
            return None
        whole = Scores.concat(self.scores, CLUSTERS)
        return replace(whole, sheets=tuple(self.raw), attempts=self.attempts)
