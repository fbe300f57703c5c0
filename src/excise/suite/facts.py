"""What an evaluation was of: models, edit, judges, machine, costs."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from excise.edit import Edit
from excise.primitives.panel import label_of, title
from excise.reporting.figures import Cost, Estimate
from excise.reporting.subject import Arm as ArmFacts
from excise.reporting.subject import CostRow, EditFacts, JudgeFacts, Subject
from excise.suite.arms import Arm
from excise.suite.battery import Battery
from excise.suite.bench import Bench
from excise.suite.history import History
from excise.suite.ladder import seeds_of
from excise.types import Costs

ROLES = ("judge", "auditor", "witness")


def edit_in_question(bench: Bench) -> Edit | None:
    """The edit in question; None for a model that was handed over."""
    arm = bench.role("edit")
    return arm.edit if arm is not None and isinstance(arm.edit, Edit) else None


def subject(bench: Bench, edit: Edit | None, past: History) -> Subject:
    """What was erased from what."""
    strength = past.record.get("strength")
    facts = None
    if edit is not None:
        facts = EditFacts(
            method=edit.recipe.method,
            kind=edit.kind,
            digest=edit.digest,
            nbytes=edit.nbytes,
            strength=float(strength) if isinstance(strength, int | float) else None,
            verified=edit.recipe.verified,
            recipe=edit.recipe.to_json(),
        )
    return Subject(
        concepts=(bench.full.to_json(),),
        model=bench.plain.name,
        family=bench.plain.family,
        fingerprint=_fingerprint(bench.role("base") or next(iter(bench.arms.values()))),
        edit=facts,
    )


def arm_facts(arm: Arm) -> ArmFacts:
    """One of the models."""
    return ArmFacts(
        key=arm.key, label=arm.label, role=arm.role, fingerprint=_fingerprint(arm), note=arm.note
    )


def _fingerprint(arm: Arm) -> str:
    return str(arm.identity["weights"])


def seeds(bench: Bench, battery: Battery | None) -> dict[str, tuple[int, ...]]:
    """Those of the attacks, by what they were for."""
    if battery is None:
        return {}
    select, score = seeds_of(bench)
    return {"select": select, "score": score}


def machine(bench: Bench) -> dict[str, Any]:
    """What it ran on."""
    return {
        "device": str(bench.plain.device),
        "precision": bench.plain.precision,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "processor": platform.machine(),
    }


def judges(bench: Bench) -> tuple[JudgeFacts, ...]:
    """Who looked, the one that counts first."""
    panels: Sequence[Any] = bench.jury.panels if bench.jury is not None else (bench.judge,)
    found = []
    for panel, role in zip(panels, ROLES, strict=False):
        cuts: Mapping[str, float] = getattr(panel, "thresholds", {})
        own = {name: float(cuts[name]) for name in bench.full.names if name in cuts}
        alarms: Mapping[str, float] = getattr(panel, "false_alarms", {})
        share = alarms.get(label_of(panel, bench.full))
        facts = {
            "name": title(panel),
            "role": role,
            "thresholds": own,
            "false_alarms": None if share is None else Estimate(value=share),
        }
        found.append(JudgeFacts.model_validate({**facts, "note": getattr(panel, "note", "")}))
    return tuple(found)


def costs(bench: Bench, past: History) -> tuple[CostRow, ...]:
    """Of the edit, and of each section and model."""
    rows = []
    if isinstance(made := past.record.get("costs"), Mapping):
        rows.append(CostRow(stage="erase", cost=Cost.of(Costs(**made))))
    for (section, arm), costs in bench.spent.items():
        label = bench.arms[arm].label
        rows.append(CostRow(stage=f"{section}: {label}", cost=Cost.of(costs)))
    return tuple(rows)


def notes(bench: Bench, battery: Battery | None) -> tuple[str, ...]:
    """What has to be said of every report, and of this one."""
    said = ["This is no legal or safety certificate: it says what was not found, and how it was "
             "looked for."]  # fmt: skip
    if battery is None:
        said.append(
            "No attack was run: there were no pictures of the concept, and no unedited model to "
            "draw them."
        )
    elif bench.sizes.cascade:
        said.append(
            "A first look: few attacks at small budgets, one after the other until one brings the "
            "concept back. That none did is no claim that none can."
        )
    said += [f"Not measured: {label}: {why}" for label, why in bench.unmeasured.items()]
    return tuple(said)
