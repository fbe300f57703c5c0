"""The whole page of a report, as a value."""

from __future__ import annotations

from excise.reporting.page import attacked, blocks, first, inputs, making, outcome, trust
from excise.reporting.page.looks import arm_series
from excise.reporting.page.parts import Page
from excise.reporting.page.strips import Uris
from excise.reporting.record import Record
from excise.reporting.verdict import Verdict, concept_name
from excise.reporting.wording import number


def page(record: Record, verdict: Verdict, uris: Uris) -> Page:
    """The page. uris: by sheet, the pictures that it may show."""
    series = arm_series(record)
    sections = (
        outcome.pictures(record, uris, series),
        outcome.plain_use(record, series),
        attacked.attacks(record, uris, series),
        outcome.kept(record, series),
        outcome.replacement(record, series),
        making.strength(record, uris, series),
        inputs.inversions(record, uris, series),
        blocks.blocks(record),
        trust.judges(record, series),
        trust.checks(record),
        making.costs(record),
        trust.recipe(record),
    )
    alarms = [check.found for check in record.checks if check.level != "info"]
    name, subject = concept_name(record), record.subject
    erased = f"{name} erased from {subject.model}" if subject.edit else f"{name} in {subject.model}"
    chips = [f"model {subject.model}"]
    if subject.edit:
        chips.append(f"method {subject.edit.method}")
        if not subject.edit.verified:
            chips.append("not verified")
    chips += [f"budget {record.budget}"] if record.budget else []
    chips += [f"seed {number(record.seed)}"] if record.seed is not None else []
    return Page(
        title=f"{erased} · Excise report",
        status=verdict.status,
        tone=first.tone(verdict.status),
        short=verdict.short,
        intro=first.intro(record),
        headline=verdict.headline,
        attack=verdict.attack,
        reasons=verdict.reasons,
        chips=tuple(chips),
        alarms=tuple(alarms),
        cards=first.cards(record, series),
        models=first.models(record, series),
        hero=first.hero(record, uris, series),
        legend=trust.LIMITS,
        sections=tuple(section for section in sections if section is not None),
    )
