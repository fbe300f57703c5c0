"""One number beside the table: what is kept, over all that may be left of the concept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from excise.errors import BadSetting, Unsupported
from excise.method import Budget
from excise.metrics.base import BASE, ORACLE, Metric, Work
from excise.primitives.kept import kept
from excise.primitives.probe import Probe, plain_probe
from excise.primitives.prompts import completed
from excise.primitives.standing import Standing
from excise.stats import tradeoff


@dataclass(frozen=True, kw_only=True)
class TradeOff(Metric):
    """The area under what is kept against the concept's excess, of an edit at several strengths.

    Every model of the work that is made by an edit gives a curve, its edit times each strength;
    the areas are over the excesses that all of them reach (`excise.stats.tradeoff`). The excess is
    that of plain use over the oracle, or over nothing without one: curves of an attack's excess
    cost more, are the ones that count, and go to `excise.stats.tradeoff` as they are.

    The number orders edits where their curves cross. It hides which class was lost: print the
    table beside it.

    pictures: of each class that stays, and of each plain prompt. strengths: factors of the edit.
    """

    name: ClassVar[str] = "tradeoff"
    want: ClassVar[Literal["high", "low"] | None] = "high"
    label: ClassVar[str] = "what is kept, over all that may be left of it (area)"
    more: ClassVar[bool] = True
    budgets: ClassVar[Mapping[Budget, int]] = {"quick": 1, "standard": 4, "thorough": 12}

    pictures: int = 4
    strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise BadSetting(f"{self.name}: expected strengths > 0, got {self.strengths}")

    def answer(self, work: Work) -> Mapping[str, Any]:
        """curves: by model, each point; areas: by model, over range; without one, why not."""
        work.judged(self.name)
        made = {arm: one for arm, one in work.arms.items() if one.edit is not None}
        if BASE not in work.arms or not made:
            return {}
        plain = self._plain(work)
        floor = work.look(ORACLE, plain).rate().value if ORACLE in work.arms else 0.0
        rest = self.kept_probe(work)
        base = work.look(BASE, rest)
        curves: dict[str, list[dict[str, float]]] = {}
        for arm, standing in made.items():
            for strength in self.strengths:
                name = f"{arm} at {strength:g}"
                at = replace(work, arms={**work.arms, name: _scaled(standing, strength)})
                curves.setdefault(arm, []).append(
                    {
                        "strength": strength,
                        "excess": at.look(name, plain).rate().value - floor,
                        "kept": kept(at.look(name, rest), base).mean,
                    }
                )
        found: dict[str, Any] = {"curves": curves, "floor": floor, "areas": {}}
        try:
            areas = tradeoff(
                {arm: [(p["excess"], p["kept"]) for p in points] for arm, points in curves.items()}
            )
        except ValueError as error:  # nothing to compare over is an answer too
            return {**found, "why": str(error)}
        return {**found, "areas": dict(areas.areas), "range": [areas.low, areas.high]}

    def _plain(self, work: Work) -> Probe:
        """Plain use of all concepts."""
        shots = [
            shot
            for concept in work.concepts
            for shot in plain_probe(
                work.plain,
                completed(work.plain, concept),
                self.pictures,
                seed=work.seed,
                judge=work.judge,
            ).shots
        ]
        return Probe(shots=tuple(shots))

    def drawn(self, work: Work) -> int:
        """At each strength, plain use and what stays."""
        return len(self.strengths) * (len(self._plain(work)) + len(self.kept_probe(work)))

    def figures(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """The areas."""
        areas: Mapping[str, Any] = answer.get("areas", {})
        return areas

    def said(self, answer: Mapping[str, Any]) -> str:
        """Over which excesses, or why over none."""
        if "range" not in answer:
            return str(answer.get("why", ""))
        low, high = (f"{100 * x:.1f}" for x in answer["range"])
        return (
            f"Here from {low} to {high} points of excess, which all of them reach, at the judge's "
            "own threshold, whatever threshold the rest is counted at."
        )


def _scaled(standing: Standing, strength: float) -> Standing:
    edit: Any = standing.edit
    try:
        return replace(standing, edit=strength * edit)
    except TypeError as error:
        raise Unsupported(
            f"expected an edit that can be multiplied by a strength, got {type(edit).__name__}; "
            "leave this measure out"
        ) from error
