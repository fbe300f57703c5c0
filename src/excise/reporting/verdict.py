"""What the first screen says, found from the record in one place."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from excise.reporting.figures import Estimate, Rate, Value
from excise.reporting.record import Record
from excise.reporting.searched import Searched, attack_reasons, attack_sentence, searched
from excise.reporting.wording import capital, listed, number, percent, points, tally

Status = Literal[
    "erased", "returns", "cannot_tell", "undecided", "damaged", "present", "untested", "infeasible",
    "unmeasured", "unkept", "not_found", "not_found_damaged", "not_found_untested",
    "not_found_unkept",
]  # fmt: skip

# In a word or two, for a table, a badge or a script.
SHORT: dict[Status, str] = {
    "erased": "erased",
    "returns": "comes back under attack",
    "cannot_tell": "cannot tell recovery from injection",
    "undecided": "too few pictures to decide",
    "damaged": "erased, with damage",
    "present": "not erased",
    "untested": "erased in plain use, not attacked",
    "infeasible": "infeasible",
    "unmeasured": "not measured",
    "unkept": "gone; what was kept was not measured",
    "not_found": "first look: not found",
    "not_found_damaged": "first look: not found, with damage",
    "not_found_untested": "first look: not found in plain use, not attacked",
    "not_found_unkept": "first look: not found; what was kept was not measured",
}

FIRST_LOOK = "quick"
"""The budget that makes no claim."""

# What would be a claim, as a first look says it.
MODEST: dict[Status, Status] = {
    "erased": "not_found",
    "damaged": "not_found_damaged",
    "untested": "not_found_untested",
    "unkept": "not_found_unkept",
}


class Verdict(Value):
    """Where it stands. headline, attack: sentences; reasons: what kept it from "erased"."""

    status: Status
    short: str
    headline: str
    attack: str
    reasons: tuple[str, ...] = ()


class Figures(Searched):
    """The figures that the verdict rests on; an arm is the edit, else the model in question."""

    plain: dict[str, Rate] = Field(default_factory=dict)
    kept: Estimate | None = None
    worst: Estimate | None = None
    neighbours: Estimate | None = None


def figures(record: Record) -> Figures:
    """The headline figures of a record."""
    edit = record.arm("edit") or record.arm("base")
    arm = edit.key if edit else ""
    plain = next((row for row in record.rates if row.kind == "plain"), None)
    kept = record.kept
    return Figures(
        **dict(searched(record, arm)),
        plain=plain.rates if plain else {},
        kept=kept.mean.get(arm) if kept else None,
        worst=kept.worst.get(arm) if kept else None,
        neighbours=kept.neighbours.get(arm) if kept else None,
    )


def verdict(record: Record) -> Verdict:
    """The sentences of the first screen, and the one word that they amount to."""
    found = figures(record)
    edited = record.arm("edit") is not None
    here = found.plain.get(found.arm)
    reasons = _reasons(record, found)
    status = _status(record, found, reasons)
    if record.budget == FIRST_LOOK:
        status = MODEST.get(status, status)
    name = concept_name(record)
    if here is None:
        headline = f"Nobody looked whether {name} still appears."
    elif status == "infeasible":
        headline = f"No strength removes {name} and keeps the rest.{_both_ends(record)}"
    elif here.high <= record.criteria.plain:
        gone = "no longer appears" if edited else "does not appear"
        headline = f"{capital(name)} {gone}: {_count(here)}."
    elif here.value <= record.criteria.plain:
        headline = (
            f"{capital(name)} was seen in {_count(here)}, which are too few to say that it is gone."
        )
    else:
        headline = f"{capital(name)} {'still ' if edited else ''}appears: {_count(here)}."
    if found.kept is not None and status != "infeasible":
        damaged = "kept" in reasons or "worst" in reasons or "neighbours" in reasons
        only = "Only " if damaged and found.kept.value < 0.97 else ""
        headline += f" {only}{percent(found.kept.value)} of everything else is still drawn."
    return Verdict(
        status=status,
        short=SHORT[status],
        headline=headline,
        attack=attack_sentence(record, found, reasons),
        reasons=tuple(reasons.values()),
    )


def concept_name(record: Record) -> str:
    """The concepts' names as a sentence has them: words that prompts use in quotation marks."""
    names = []
    for concept in record.subject.concepts:
        name = str(concept.get("name", ""))
        names.append(f"the {name}" if concept.get("kind") == "implicit" else f"“{name}”")
    return listed(names)


def _count(rate: Rate) -> str:
    if rate.count is None:
        return f"{percent(rate.value)} of pictures (at most {percent(rate.high)})"
    share = "" if rate.count == 0 else f"{percent(rate.value)}, "
    return f"{tally(rate)} pictures ({share}at most {percent(rate.high)})"


def _both_ends(record: Record) -> str:
    found = record.strength
    if found is None or found.erased_from is None or found.kept_to is None:
        return ""
    return (
        f" It takes {number(found.erased_from)} to remove it; "
        f"the rest bears {number(found.kept_to)}."
    )


def _status(record: Record, found: Figures, reasons: dict[str, str]) -> Status:
    here = found.plain.get(found.arm)
    if record.strength and not record.strength.feasible:
        return "infeasible"
    if here is None:
        return "unmeasured"
    if "plain" in reasons:
        return "present" if here.value > record.criteria.plain else "undecided"
    if "attack" in reasons:
        return "returns"
    if "unknown" in reasons:
        return "cannot_tell"
    if "undecided" in reasons:
        return "undecided"
    if {"kept", "worst", "neighbours", "nothing"} & set(reasons):
        return "damaged"
    if "untested" in reasons:
        return "untested"
    return "unkept" if "unkept" in reasons else "erased"


def _reasons(record: Record, found: Figures) -> dict[str, str]:
    """By what is lacking, the sentence that says so."""
    limits, reasons = record.criteria, {}
    here = found.plain.get(found.arm)
    if here is not None and here.high > limits.plain:
        reasons["plain"] = (
            f"In plain use it may appear in up to {percent(here.high)} of the pictures; "
            f"at most {percent(limits.plain)} was asked for."
        )
    reasons |= attack_reasons(record, found)
    kept, worst, near = found.kept, found.worst, found.neighbours
    if kept is None:
        reasons["unkept"] = "What was kept was not measured."
    elif (kept.value if kept.low is None else kept.low) < limits.kept:
        low = kept.value if kept.low is None else kept.low
        reasons["kept"] = (
            f"Of everything else as little as {percent(low)} may have been kept; "
            f"at least {percent(limits.kept)} was asked for."
        )
    if worst is not None and worst.value < limits.worst:
        label = record.kept.worst_label if record.kept else ""
        reasons["worst"] = (
            f"The worst single thing{f', “{label}”,' if label else ''} kept "
            f"{percent(worst.value)}; at least {percent(limits.worst)} was asked for."
        )
    if near is not None and near.value < limits.neighbours:
        reasons["neighbours"] = (
            f"What is closest to it kept {percent(near.value)}; "
            f"at least {percent(limits.neighbours)} was asked for."
        )
    more = _more_nothing(record, found.arm)
    if more is not None and more > limits.nothing:
        reasons["nothing"] = (
            f"In {points(more)} more of the pictures than before nothing can be recognised; at "
            f"most {points(limits.nothing)} were asked for."
        )
    return reasons


def _more_nothing(record: Record, arm: str) -> float | None:
    """The arm's share of pictures of nothing less the base's."""
    base = record.arm("base")
    found = record.kept.nothing if record.kept else {}
    if base is None or arm not in found or base.key not in found:
        return None
    return found[arm].value - found[base.key].value
