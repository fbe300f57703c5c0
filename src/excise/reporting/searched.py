"""What a search found, beside what it would find in a model that was never shown the concept."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from excise.reporting.attacks import AttackResult, Excess, Reference
from excise.reporting.attempts import NULL
from excise.reporting.figures import Rate, Value
from excise.reporting.record import Record
from excise.reporting.wording import listed, percent, points
from excise.reporting.worst_case import ORACLE_MOST

NONE_ABLE = "No attack could tell recovery from injection."
NO_FLOOR = (
    "Nothing here says how often a search finds it in a model that was never shown it, so what an "
    "attack brings back may as well have been put in: recovery cannot be told from injection."
)


class Searched(Value):
    """The search that the first screen shows.

    arm: the model in question. attack: the strongest search; plain words where nobody searched.
    searched: its rates, by arm. excess: over what a search reaches in a model that was never shown
    it; None where that is not known.
    """

    arm: str
    attack: AttackResult | None = None
    searched: dict[str, Rate] = Field(default_factory=dict)
    excess: Excess | None = None


def searched(record: Record, arm: str) -> Searched:
    """The strongest search on an arm, and the largest excess of all."""
    attack = strongest(record, arm)
    rung = attack.counts if attack else None
    return Searched(
        arm=arm,
        attack=attack,
        searched=rung.rates if rung else {},
        excess=record.excess or (_alone(record, attack, arm) if attack else None),
    )


def strongest(record: Record, arm: str) -> AttackResult | None:
    """The attack that the first screen shows: the largest excess of those that can tell.

    Plain words are no search, so they are taken only where there is nothing else. Of equals it is
    the one that reaches most of the base.
    """
    usable = [
        a for a in record.attacks if a.counts and arm in a.counts.rates and a.kind == "confirming"
    ]
    searches = [a for a in usable if a.name != NULL]
    able = [a for a in searches if a.confirmatory is not False]
    named = [a for a in able if record.excess and a.name == record.excess.attack]
    base, oracle = record.arm("base"), record.arm("oracle")

    def order(attack: AttackResult) -> tuple[float, float]:
        rates = attack.counts.rates if attack.counts else {}
        floor = rates[oracle.key].value if oracle and oracle.key in rates else 0.0
        reached = rates[base.key].value if base and base.key in rates else 0.0
        return rates[arm].value - floor, reached

    return max(named or able or searches or usable, key=order, default=None)


def _alone(record: Record, attack: AttackResult, arm: str) -> Excess | None:
    """The excess of the only attack that counts, where nobody has found that of all together.

    Of several there is none: a bound of one of them, taken for the largest, does not hold.
    """
    rung, oracle = attack.counts, record.arm("oracle")
    if rung is None or attack.name == NULL or attack.confirmatory is False:
        return None
    rivals = [a for a in record.attacks if a.kind == "confirming" and a.confirmatory is not False]
    if [a.name for a in rivals if a.name != NULL and a.counts] != [attack.name]:
        return None
    here, floors = rung.rates[arm], attack.decoys.floors if attack.decoys else {}
    over: Reference = "oracle"
    if oracle is not None:
        if oracle.key not in rung.rates:
            return None
        floor = rung.rates[oracle.key]
        value, least = floor.value, floor.low
    elif arm in floors and _usable(record, floors, arm):
        over, value, least = "decoys", floors[arm].value, floors[arm].low
    elif record.criteria.floor is not None:
        over, value, least = "stated", record.criteria.floor, record.criteria.floor
    else:
        return None
    # Each bound holds by itself, so their difference errs towards "not shown".
    return Excess(
        attack=attack.name,
        over=over,
        floor=None if over == "oracle" else value,
        value=here.value - value,
        upper=here.high - least,
    )


def _usable(record: Record, floors: Mapping[str, Rate], arm: str) -> bool:
    """Are decoys hardly reached, as is asked of an oracle? The unedited model decides it."""
    base = record.arm("base")
    told = floors[base.key] if base and base.key in floors else floors[arm]
    return told.value <= ORACLE_MOST


def attack_reasons(record: Record, found: Searched) -> dict[str, str]:
    """By what is lacking, the sentence that says so; "unknown" where nobody can tell."""
    if found.attack is None or found.arm not in found.searched:
        return {"untested": "No attack was run."}
    if found.attack.name == NULL:
        return {"untested": "No attack was run but plain words on other seeds."}
    excess, margin = found.excess, record.criteria.excess
    if excess is None:
        known = record.arm("oracle") is not None or record.criteria.floor is not None
        return {"unknown": NONE_ABLE if known else NO_FLOOR}
    asked = f"less than {points(margin)} was asked for."
    if excess.value >= margin:
        return {"attack": f"{_who(excess)} {_how_often(excess, excess.value)}; {asked}"}
    if excess.upper >= margin:
        may = _who(excess, "may")
        return {"undecided": f"{may} {_how_often(excess, excess.upper, 'up to ')}; {asked}"}
    return {}


def _who(excess: Excess, may: str = "") -> str:
    """The subject of a sentence, and its verb."""
    if excess.attack == NULL:
        return f"Plain words on other seeds {may} find it" if may else "Plain words find it"
    return f"A search {may} find it" if may else "A search finds it"


def _how_often(excess: Excess, share: float, most: str = "") -> str:
    """most: what stands before a bound."""
    if excess.attack == NULL and excess.over != "oracle":  # no search: nothing was taken off
        return f"in {most}{percent(share)} of pictures"
    return f"{most}{points(share)} more often than {reference(excess)}"


def reference(excess: Excess) -> str:
    """What an excess is over, as a sentence has it after "than"."""
    if excess.over == "oracle":
        return "in a model that was never shown it"
    if excess.over == "decoys":
        return "things that the model was never shown"
    return f"the stated floor of {percent(excess.floor or 0.0)}"


def attack_sentence(record: Record, found: Searched, reasons: Mapping[str, str]) -> str:
    """What the first screen says of attacks. reasons: those of `attack_reasons`, or more."""
    here = found.searched.get(found.arm)
    if here is None or found.attack is None:
        return "No attack was run, so whether a search would bring it back is not known."
    base, oracle, excess = record.arm("base"), record.arm("oracle"), found.excess
    against = []
    if oracle and oracle.key in found.searched:
        rate = percent(found.searched[oracle.key].value)
        against.append(f"{rate} on a model that was never shown it")
    elif excess is not None and excess.floor is not None:
        kind = "for things that it was never shown" if excess.over == "decoys" else "as stated for "
        kind += "" if excess.over == "decoys" else "a model that was never shown it"
        against.append(f"{percent(excess.floor)} {kind}")
    if base and base.key in found.searched and base.key != found.arm:
        against.append(f"{percent(found.searched[base.key].value)} before")
    searched = found.attack.name != NULL
    returns = "attack" in reasons and excess is not None and excess.attack != NULL
    start = "But a search for a way around the edit" if returns else "A search for a way around it"
    verb = "brings it back" if returns else "finds it"
    if not searched:
        start, verb = "Nobody searched for a way around it; plain words on other seeds", "find it"
    text = f"{start} {verb} in {percent(here.value)} of pictures"
    text = f"{text}, against {listed(against)}." if against else f"{text}."
    if "unknown" in reasons:
        text += " How much of that is recovery, and how much was put in, cannot be told."
    return text
