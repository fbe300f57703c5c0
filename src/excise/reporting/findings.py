"""What was found: how often the concept is seen, what was kept, and how the edit was chosen.

Where a row's pictures are in the table of scores, its ``key`` is the group's name there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from excise.reporting.figures import Count, Estimate, Rate, Share, Value
from excise.reporting.subject import Key


class RateRow(Value):
    """How often something is seen in a group of pictures.

    kind: "plain" is the pooled figure of plain use, which the first screen shows. want: which way
    is good. judge: who looked.
    """

    key: Key
    label: str
    kind: Literal[
        "plain", "word", "synonym", "held_back", "template", "guidance", "two_objects",
        "other_object", "style", "other",
    ]  # fmt: skip
    judge: str
    rates: dict[str, Rate]
    want: Literal["low", "high"] = "low"


class StrengthPoint(Value):
    """The edit at one strength. plain, searched: how often the concept is seen; the rest: kept.

    worst: of the classes, the smallest share, and above it the smallest upper bound of any.
    nothing: by how much pictures of nothing are more than before. norm: alpha ||tau|| / ||theta||.
    """

    alpha: float
    plain: Rate | None = None
    searched: Rate | None = None
    kept: Estimate | None = None
    worst: Estimate | None = None
    neighbours: Estimate | None = None
    nothing: Estimate | None = None
    norm: float | None = None


class Strength(Value):
    """The search for the strength.

    floors: what "gone" means, by "plain" and "searched". limits: what "kept" means: the least of
    the lower bound of "kept", of the upper bound of "worst" and of "neighbours", and the most of
    "nothing". erased_from: the least strength at which the concept is gone.
    kept_to: the largest at which the rest is kept. With feasible False, erased_from > kept_to.
    """

    points: tuple[StrengthPoint, ...]
    floors: dict[str, float] = Field(default_factory=dict)
    limits: dict[str, float] = Field(default_factory=dict)
    erased_from: float | None = None
    kept_to: float | None = None
    chosen: float | None = None
    feasible: bool = True
    note: str = ""


class Stop(Value):
    """The edit at a strength, 1 being the chosen one. pictures: key of what it draws."""

    strength: float
    pictures: Key


class Inverted(Value):
    """One inverted input: its loss and what it draws, by arm. pictures: key of its pictures.

    losses: on held-out pictures, the same noise for all arms. gap: the edit's less the base's,
    paired. cluster: the kind of effect that it has, from 0.
    """

    label: str
    losses: dict[str, float] = Field(default_factory=dict)
    gap: Estimate | None = None
    rates: dict[str, Rate] = Field(default_factory=dict)
    cluster: int | None = None
    pictures: str | None = None


class Inversions(Value):
    """The inputs that inversion found, and how different their effects are.

    participation: the effective number of directions among the effects of `size` of them.
    clusters: kinds of effect. singletons: how likely the next is of a new kind. gap: of all rows'
    losses together, as a row's. checked: independent searches on the edit at its strength, where
    none brought the concept back beyond chance; survival: so the next one does at most this often,
    at `level`.
    """

    rows: tuple[Inverted, ...]
    gap: Estimate | None = None
    size: Count | None = None
    participation: float | None = None
    clusters: int | None = None
    singletons: Share | None = None
    checked: Count | None = None
    survival: Share | None = None
    level: Share = 0.95
    note: str = ""


class Block(Value):
    """A group of weights, and what the vector does in it alone.

    norm: its share of the whole vector's squared norm. gain: by how much the loss on the concept
    rises. cost: how much is changed in everything else.
    """

    name: str
    norm: Share
    gain: Estimate
    cost: Estimate
    chosen: bool


class Blocks(Value):
    """Which blocks the edit is confined to."""

    rows: tuple[Block, ...]
    note: str = ""


class OverErasure(Value):
    """The denoising loss on held-out pictures of the concept, by arm.

    named: under its own prompts. unnamed: under the empty one. gap: named, each arm's less the
    oracle's, paired by picture, noise and level; above 0 the concept is less likely to it than to
    a model that never saw it.
    """

    pictures: Count
    named: dict[str, Estimate] = Field(default_factory=dict)
    unnamed: dict[str, Estimate] = Field(default_factory=dict)
    gap: dict[str, Estimate] = Field(default_factory=dict)


class Replacement(Value):
    """What is drawn at the concept's prompts: by arm, label to count. among: those that compete."""

    counts: dict[str, dict[str, Count]]
    among: tuple[str, ...] = ()
    note: str = ""


def counted(drawn: Sequence[str]) -> dict[str, int]:
    """Counts of labels, the commonest first, as `Replacement` has them."""
    ranked = Counter(drawn).items()
    return dict(sorted(ranked, key=lambda item: (-item[1], item[0])))


class KeptRow(Value):
    """Something that was to stay: how often it is drawn as asked, by arm; share: of the base."""

    key: Key
    label: str
    kind: Literal["object", "style", "neighbour", "other"]
    rates: dict[str, Rate]
    share: dict[str, Estimate] = Field(default_factory=dict)


class Measure(Value):
    """Another figure of quality, by arm. note: what it says, to one who never heard of it."""

    name: str
    label: str
    values: dict[str, Estimate]
    want: Literal["low", "high"]
    note: str = ""


class Kept(Value):
    """What was kept. mean, worst, neighbours: shares of the base, by arm; worst_label: of the edit.

    nothing: by arm, pictures in which nothing can be recognised.
    """

    rows: tuple[KeptRow, ...] = ()
    mean: dict[str, Estimate] = Field(default_factory=dict)
    worst: dict[str, Estimate] = Field(default_factory=dict)
    worst_label: str = ""
    neighbours: dict[str, Estimate] = Field(default_factory=dict)
    nothing: dict[str, Rate] = Field(default_factory=dict)
    measures: tuple[Measure, ...] = ()


class AgreementRow(Value):
    """The same pictures before several judges: by judge, how often the concept is seen."""

    label: str
    arm: str
    rates: dict[str, Rate]
    key: str = ""
