"""What restarts that all did the same leave open, in sentences."""

from __future__ import annotations

from excise.reporting.attacks import AttackResult, Unanimous
from excise.reporting.record import Record
from excise.reporting.wording import number, percent


def sentence(found: Unanimous, model: str) -> str:
    """What such a pool says of the next restart. model: what the arm is called."""
    sure = (
        f"with a probability of at most {percent(found.next)} "
        f"(at {percent(found.level)} confidence)"
    )
    if found.worked:
        return (
            f"On “{model}” each of {number(found.n)} independent restarts brought it back in every "
            f"picture; the next one fails in some {sure}."
        )
    return (
        f"On “{model}” none of {number(found.n)} independent restarts brought it back in any "
        f"picture; the next one does {sure}."
    )


def sentences(attack: AttackResult, record: Record) -> tuple[str, ...]:
    """Of one attack, a sentence an arm of which its restarts all did the same."""
    return tuple(
        sentence(attack.unanimous[arm.key], arm.label)
        for arm in record.arms
        if arm.key in attack.unanimous
    )


def beside_excess(record: Record) -> tuple[str, ...]:
    """What the bound of the largest excess knows nothing of: a sentence an attack, of the edit."""
    excess, edit = record.excess, record.arm("edit")
    if excess is None or edit is None:
        return ()
    return tuple(
        f"{attack.label}: {sentence(attack.unanimous[edit.key], edit.label)}"
        for attack in record.attacks
        if attack.name in excess.values and edit.key in attack.unanimous
    )
