"""A concept's figures over several edits, with bounds that hold what the edits share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from arrays import Arrays, alike

from excise.stats import Pooled, pooled, pooled_rate_upper, pooled_ratio

Row = Mapping[str, Any]
ARMS = ("base", "edit", "oracle")


def summary(rows: Sequence[Row], many: Sequence[Arrays]) -> dict[str, Any]:
    """One concept's figures over its edits: their rows, and their arrays in the same order.

    Three numbers are a value and its one-sided bounds at 95 %. The edits are averaged first, and
    clustered by prompt or picture; see `excise.stats.pooled`. The worst class and the nearest
    neighbours are those of the worst edit, and have no interval.
    """
    first = alike(many)
    plain = np.stack([one.plain for one in many])
    return {
        "concept": rows[0]["concept"],
        "method": rows[0]["method"],
        "edits": len(rows),
        "plain": float(plain.mean()),
        "plain_high": pooled_rate_upper(plain, {"prompt": first.words}),
        "excess": bounds(excess(many)),
        "delta_loss": bounds(delta_loss(many)),
        "rung": rows[0]["rung"],
        "searched": {arm: float(np.mean([row["searched"][arm] for row in rows])) for arm in ARMS},
        "kept": bounds(kept(many)),
        "worst": _least(row["worst"] for row in rows),
        "near": _least(row["near"] for row in rows),
        "nothing": _mean(row["nothing"]["edit"] - row["nothing"]["base"] for row in rows),
        "two": _mean(row["two"]["edit"] for row in rows if "two" in row),
        "two_other": _mean(
            row["two-other"]["edit"] / row["two-other"]["base"]
            for row in rows
            if "two" in row and row["two-other"]["base"]
        ),
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


def kept(many: Sequence[Arrays]) -> Pooled:
    """The mean over classes of what the base draws right, by prompt; each class counts the same."""
    first = alike(many)
    counts = {name: first.classes.count(name) for name in first.classes}
    each = len(first.classes) / len(counts)
    return pooled_ratio(
        [one.after for one in many],
        first.before,
        {"prompt": first.sentences},
        [each / counts[name] for name in first.classes],
    )


def bounds(found: Pooled) -> tuple[float, float, float]:
    """The value, and its bounds below and above."""
    return found.value, found.low(), found.high()


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _mean(values: Iterable[float]) -> float | None:
    """None without values."""
    many = list(values)
    return float(np.mean(many)) if many else None
