"""The first screen: big numbers beside their references, and the strip that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from excise.reporting.charts import Series, gauge
from excise.reporting.figures import Estimate, Rate
from excise.reporting.page.looks import mark
from excise.reporting.page.parts import Card, Strip
from excise.reporting.page.strips import Uris, strip
from excise.reporting.record import Record
from excise.reporting.verdict import concept_name, figures
from excise.reporting.wording import between, percent, tally

Shown = Mapping[str, Rate | Estimate]
NULL = Series(key="null", label="without a search", css="s-null", shape="bar")
TONES = {"erased": "good", "untested": "mixed", "undecided": "mixed", "damaged": "mixed",
         "cannot_tell": "mixed",
         "not_found": "mixed", "not_found_damaged": "mixed", "not_found_untested": "mixed",
         "not_found_unkept": "mixed"}  # fmt: skip


def cards(record: Record, series: Sequence[Series]) -> tuple[Card, ...]:
    """Plain use, under attack, kept."""
    found = figures(record)
    references = [one for one in series if one.css in ("s-base", "s-edit", "s-oracle")]
    plain = found.plain.get(found.arm)
    searched = found.searched.get(found.arm)
    attack, rung = found.attack, found.attack.counts if found.attack else None
    under: dict[str, Rate | Estimate] = dict(found.searched)
    others = list(references)
    if attack is not None and found.arm in attack.null:
        under["null"] = attack.null[found.arm]
        others.append(NULL)
    kept = record.kept
    shares: dict[str, Rate | Estimate] = dict(kept.mean) if kept else {}
    worst = ""
    if kept and found.worst is not None:
        name = f", {kept.worst_label}" if kept.worst_label else ""
        worst = f"worst single thing{name}: {percent(found.worst.value)}"
    name = concept_name(record)
    return (
        _card(
            f"shows {name} in plain use",
            "plain",
            plain,
            f"{tally(plain)} pictures" if plain and plain.count is not None else "",
            found.plain,
            references,
            found.arm,
        ),
        _card(
            f"shows {name} under attack",
            "attack",
            searched,
            f"{attack.label}, {rung.label}" if attack and rung else "no attack was run",
            under,
            others,
            found.arm,
        ),
        _card("of everything else is kept", "kept", found.kept, worst, shares, references,
              found.arm),
    )  # fmt: skip


def _card(
    title: str,
    key: str,
    figure: Rate | Estimate | None,
    detail: str,
    shown: Shown,
    series: Sequence[Series],
    focus: str,
) -> Card:
    beside = [(one, shown[one.key]) for one in series if one.key in shown]
    said = "; ".join(f"{one.label}: {percent(value.value)}" for one, value in beside)
    return Card(
        title=title,
        value="–" if figure is None else percent(figure.value),
        interval="not measured" if figure is None else _interval(figure),
        detail=detail,
        gauge=gauge(
            f"gauge-{key}",
            title,
            said or "not measured",
            [(one, mark(value, one.label)) for one, value in beside],
            focus,
        ),
        references=tuple(
            (one, one.label, percent(value.value)) for one, value in beside if one.key != focus
        ),
    )


def _interval(figure: Rate | Estimate) -> str:
    span = between(figure)
    return f"{span} at {percent(figure.level)} confidence" if span else ""


MEANT = {
    "base": "the model as it was",
    "edit": "the same model after the edit",
    "oracle": "the same model trained from scratch without it: what having forgotten looks like",
    "rival": "the model after another method's edit",
    "control": "the model after an edit that should do nothing of the kind",
}


def intro(record: Record) -> str:
    """What the page is about, to somebody who has never heard of it."""
    name, model = concept_name(record), record.subject.model
    if record.arm("edit") and (record.subject.edit or record.arm("base")):
        return (
            f"The picture model “{model}” was edited to make it forget {name}. This page says "
            "whether it did, whether somebody who tries can bring it back, and what else was lost."
        )
    return (
        f"The picture model “{model}” is said not to know {name}. This page says whether it does, "
        "in plain use and when somebody searches for it."
    )


def models(record: Record, series: Sequence[Series]) -> tuple[tuple[Series, str], ...]:
    """The models that are compared, each with what it is."""
    role = {arm.key: arm.role for arm in record.arms}
    alone = len(record.arms) == 1
    return tuple(
        (one, "the model in question" if alone else MEANT[role[one.key]]) for one in series
    )


def hero(record: Record, uris: Uris, series: Sequence[Series]) -> tuple[Strip, ...]:
    """The concept, and beside it what was to stay: before and after."""
    arms = [one for one in series if one.css in ("s-base", "s-edit")]
    concept = next((g for g in record.pictures if g.kind == "concept"), None)
    others = [g for g in record.pictures if g.kind == "unrelated"]
    others += [g for g in record.pictures if g.kind == "neighbour"]
    name = concept_name(record)
    found = []
    if concept is not None:
        most = 4 if others else 8
        found.append(strip(concept, uris, arms, title=f"Asked for {name}", most=most, bare=True))
    if others:
        found.append(
            strip(others[0], uris, arms, title="Asked for something else", most=4, bare=True)
        )
    return tuple(one for one in found if one is not None)


def tone(status: str) -> str:
    """Good, mixed or bad."""
    return TONES.get(status, "bad")
