"""What the record beside an edit says of how it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from excise.primitives.inverted import Inversion
from excise.reporting.figures import Estimate, Rate
from excise.reporting.findings import Block, Blocks, Strength, StrengthPoint
from excise.store import Artefact

WORST = 0.9
"""The one-sided level of a class's upper bound in `excise.primitives.kept`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class History:
    """The record of an edit, as its method left it, and the tensors that belong to it."""

    record: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def hashes(self) -> frozenset[str]:
        """SHA-256 of the pictures that the edit was made from."""
        rows = self.record.get("pictures", ())
        return frozenset(name for row in rows for name in row.get("hashes", ()))

    @property
    def choose(self) -> tuple[Inversion, ...]:
        """The sets of inverted inputs by which the strength was chosen."""
        sets = self.record.get("choose", {}).get("sets", ())
        found = []
        for i, row in enumerate(sets):
            start = f"choose/{i}/"
            own = {n[len(start) :]: t for n, t in self.tensors.items() if n.startswith(start)}
            if own:
                found.append(Inversion.of(Artefact(tensors=own, record=row)))
        return tuple(found)


def strength(history: History) -> Strength | None:
    """The curve, both limits and the chosen point; None for a method without a search."""
    found = history.record.get("strength_search")
    if found is None:
        return None
    unit = history.record.get("relative_norm")
    floors = found["floors"]
    return Strength(
        points=tuple(_point(row, unit) for row in found["readings"]),
        floors={"plain": floors["natural"], "searched": floors["injected"]},
        limits={
            name: floors[name]
            for name in ("kept", "worst", "neighbours", "nothing")
            if name in floors
        },
        erased_from=found["erased_from"],
        kept_to=found["kept_to"],
        chosen=found["chosen"],
        feasible=found["chosen"] is not None,
    )


def _point(row: Mapping[str, Any], unit: float | None) -> StrengthPoint:
    kept = row["kept"]
    k, n = (sum(pair[i] for pair in row["embeddings"]) for i in (0, 1))
    near = [c["ratio"] for c in kept["classes"].values() if c["near"] and c["ratio"] is not None]
    nothing: Mapping[str, Any] | None = kept.get("nothing")
    return StrengthPoint(
        alpha=row["alpha"],
        plain=Rate.of(*row["plain"]),
        searched=Rate.of(k, n) if n else None,
        kept=Estimate(value=kept["mean"], low=kept["lower"], level=kept["level"]),
        worst=_worst(kept),
        neighbours=Estimate(value=sum(near) / len(near)) if near else None,
        nothing=None if nothing is None else Estimate(value=nothing["value"]),
        norm=None if unit is None else row["alpha"] * unit,
    )


def _worst(kept: Mapping[str, Any]) -> Estimate | None:
    """The smallest share of a class, and the bound that the rule tests: the smallest upper one.

    The worst of many classes is low by chance already, so only what is shown to be low counts.
    """
    if kept["worst"] is None:
        return None
    able = [c for name, c in kept["classes"].items() if name not in kept.get("weak", ())]
    highs = [c["high"] for c in able if c.get("high") is not None]
    value = kept["worst"]["ratio"]
    return Estimate(value=value, high=min(highs), level=WORST) if highs else Estimate(value=value)


def blocks(history: History) -> Blocks | None:
    """What the vector does in each block alone, and which were kept; None if nobody looked.

    A row of the record: ``block``, its name; ``norm``, its share of the vector's squared norm;
    ``gain``, by how much the loss on the concept rises; ``cost``, how much is changed in everything
    else; ``kept``.
    """
    rows = history.record.get("blocks")
    if not rows:
        return None
    return Blocks(
        rows=tuple(
            Block(
                name=row["block"],
                norm=row["norm"],
                gain=Estimate(value=row["gain"]),
                cost=Estimate(value=row["cost"]),
                chosen=row["kept"],
            )
            for row in rows
        )
    )
