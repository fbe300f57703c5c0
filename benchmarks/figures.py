"""The figures of one edit that experiments compare, as JSON values."""

from __future__ import annotations

from typing import Any

from excise.reporting import Report


def figures(report: Report) -> dict[str, Any]:
    """From a report: plain use, two objects, what was kept, and what the attack brought back."""
    record = report.record
    plain = {row.key: row.rates for row in record.rates}
    found: dict[str, Any] = {"plain": plain["plain"]["edit"].value}
    for key in ("two", "two-other"):
        if key in plain:
            found[key] = {arm: rate.value for arm, rate in plain[key].items()}
    if record.kept is not None:
        kept = record.kept
        found |= {
            "kept": kept.mean["edit"].value,
            "kept_low": kept.mean["edit"].low,
            "worst": kept.worst["edit"].value,
            "worst_label": kept.worst_label,
            "near": kept.neighbours["edit"].value if "edit" in kept.neighbours else None,
            "nothing": {arm: rate.value for arm, rate in kept.nothing.items()},
        }
    attack = next((a for a in record.attacks if a.name == "concept_inversion"), None)
    if attack is not None and attack.counts is not None:
        found["rungs"] = {
            rung.key: {arm: rate.value for arm, rate in rung.rates.items()} for rung in attack.rungs
        }
        found["headline"] = attack.headline
        found["searched"] = {arm: rate.value for arm, rate in attack.counts.rates.items()}
        found["excess"] = {arm: row.model_dump() for arm, row in attack.excess.items()}
        found["delta_loss"] = {arm: row.model_dump() for arm, row in attack.delta_loss.items()}
    return found
