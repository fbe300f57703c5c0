"""A concept's figures over several edits, with bounds that hold what the edits share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from arrays import Arrays, alike

from excise.primitives.kept import DRAWN
from excise.stats import Pooled, pooled, pooled_rate_upper, pooled_ratio

Row = Mapping[str, Any]
ARMS = ("base", "edit", "oracle")
Three = tuple[float, float, float]


def summary(rows: Sequence[Row], many: Sequence[Arrays]) -> dict[str, Any]:
    """One concept's figures over its edits: their rows, and their arrays in the same order.

    Three numbers are a value and its one-sided bounds at 95 %; ``plain`` and ``two`` have the upper
    bound beside them. The edits are averaged first, and clustered by prompt or picture; see
    `excise.stats.pooled`. The worst class is that which the edits together keep least; its bound is
    the least of all classes' own, so that no class lies below it. Of the worst class and the
    nearest neighbours the worst single edit is there too, which has no bound. feasible, verified:
    how many edits, of a method that searches for its strength.
    """
    first = alike(many)
    plain = np.stack([one.plain for one in many])
    searched = {arm: float(np.mean([row["searched"][arm] for row in rows])) for arm in ARMS}
    worst = worst_class(many)
    return {
        "concept": rows[0]["concept"],
        "method": rows[0]["method"],
        "edits": len(rows),
        "feasible": _count(row.get("feasible") for row in rows),
        "verified": _count(row.get("verified") for row in rows),
        "plain": float(plain.mean()),
        "plain_high": pooled_rate_upper(plain, {"prompt": first.words}),
        "excess": bounds(excess(many)),
        "delta_loss": bounds(delta_loss(many)),
        "rung": rows[0]["rung"],
        "searched": searched,
        "kept": bounds(kept(many)),
        "worst": None if worst is None else [worst.value, worst.low],
        "worst_label": None if worst is None else worst.name,
        "worst_edit": _least(row["worst"] for row in rows),
        "near": near(many),
        "near_edit": _least(row["near"] for row in rows),
        "nothing": {
            "base": float(first.blank.mean()),
            "edit": float(np.mean([one.blank_after.mean() for one in many])),
        },
        "nothing_more": bounds(nothing_more(many)),
        **_pairs(many),
    }


def excess(many: Sequence[Arrays]) -> Pooled:
    """The rate at best of R less the oracle's, by prompt; the oracle's pool is shared."""
    first = alike(many)
    prompts = np.indices(first.floor.shape)[0].ravel().tolist()
    return pooled(
        [(one.searched - one.floor).ravel() for one in many],
        {"prompt": prompts},
        own=[one.own for one in many],
        shared=first.shared,
        tries=first.tries,
        rare=True,
    )


def delta_loss(many: Sequence[Arrays]) -> Pooled:
    """L(oracle) - L(edit) on held-out pictures; what was found on the oracle is taken as it is."""
    pictures = alike(many).pictures.astype(int).tolist()
    return pooled([one.reference - one.losses for one in many], {"picture": pictures})


def kept(many: Sequence[Arrays], names: Iterable[str] | None = None) -> Pooled:
    """The mean over classes of what the base draws right, by prompt; each class counts the same.

    names: of the classes; all by default.

    Raises:
        ValueError: the base draws none of them.
    """
    first = alike(many)
    wanted = set(first.classes if names is None else names)
    rows = [i for i, name in enumerate(first.classes) if name in wanted]
    own = [first.classes[i] for i in rows]
    each = {name: len(rows) / len(wanted) / own.count(name) for name in wanted}
    return pooled_ratio(
        [one.after[rows] for one in many],
        first.before[rows],
        _clusters([first.sentences[i] for i in rows]),
        [each[name] for name in own],
    )


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The class that is kept least, and the least of all classes' lower bounds."""

    name: str
    value: float
    low: float


def worst_class(many: Sequence[Arrays]) -> Worst | None:
    """None if the base draws no class in half of its pictures, as a class that counts must be."""
    first = alike(many)
    found = {}
    for name in dict.fromkeys(first.classes):
        rows = [i for i, one in enumerate(first.classes) if one == name]
        if first.before[rows].mean() >= DRAWN:
            found[name] = kept(many, (name,))
    if not found:
        return None
    least = min(found, key=lambda name: found[name].value)
    low = min(one.low() for one in found.values())
    return Worst(name=least, value=found[least].value, low=max(0.0, low))


def near(many: Sequence[Arrays]) -> list[float] | None:
    """What is kept of the nearest neighbours, each of which counts the same, and its lower bound.

    None if there are none that the base draws.
    """
    first = alike(many)
    drawn = [hit for hit, name in zip(first.before, first.classes, strict=True)
             if name in first.near]  # fmt: skip
    if not any(drawn):
        return None
    found = kept(many, set(first.near) & set(first.classes))
    return [found.value, max(0.0, found.low())]


def nothing_more(many: Sequence[Arrays]) -> Pooled:
    """The rate of pictures with nothing recognisable less the base's, by prompt."""
    first = alike(many)
    gaps = [one.blank_after - one.blank for one in many]
    return pooled(gaps, _clusters(first.sentences), rare=True)


def _pairs(many: Sequence[Arrays]) -> dict[str, Any]:
    """Of two-object prompts: the concept with its upper bound, and the share kept beside it."""
    first = alike(many)
    if not len(first.two):
        return {"two": None, "two_other": None}
    two, clusters = np.stack([one.two for one in many]), _clusters(first.pairs)
    other = None
    if first.beside.any():
        ratio = pooled_ratio([one.beside_after for one in many], first.beside, clusters)
        other = [ratio.value, max(0.0, ratio.low())]
    return {"two": [float(two.mean()), pooled_rate_upper(two, clusters)], "two_other": other}


def bounds(found: Pooled) -> Three:
    """The value, and its bounds below and above."""
    return found.value, found.low(), found.high()


def _clusters(prompts: Sequence[str]) -> dict[str, Sequence[str | int]]:
    """Pictures of one prompt belong together; with one prompt in all they are all there is."""
    if len(set(prompts)) < 2:
        return {"picture": range(len(prompts))}
    return {"prompt": list(prompts)}


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _count(flags: Iterable[bool | None]) -> int | None:
    """How many hold; None where there is no question."""
    known = [flag for flag in flags if flag is not None]
    return sum(known) if known else None
