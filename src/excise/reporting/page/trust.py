"""Sections about how far to trust it: judges, checks, and how to make it again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from excise.reporting.charts import Series
from excise.reporting.page.looks import cell
from excise.reporting.page.parts import Facts, Fold, Notice, Part, Section, Table, Text
from excise.reporting.record import Record
from excise.reporting.wording import listed, number, size

LIMITS = (
    "Not a legal or safety certificate. It says what was not found, by these attacks and within "
    "this budget, on this one model. More effort, another method, or training the released "
    "weights further may bring the concept back."
)


def judges(record: Record, series: Sequence[Series]) -> Section | None:
    """Who looked, and whether they agree."""
    if not record.judges and not record.agreement:
        return None
    parts: list[Part] = []
    labels = {one.key: one.label for one in series}
    if record.agreement:
        names = list(dict.fromkeys(name for row in record.agreement for name in row.rates))
        parts.append(
            Table(
                head=("pictures", "model", *names),
                rows=tuple(
                    (row.label, labels[row.arm], *(cell(row.rates.get(name)) for name in names))
                    for row in record.agreement
                ),
            )
        )
    if record.judges:
        alarms = any(judge.false_alarms is not None for judge in record.judges)
        parts.append(
            Table(
                head=("who", "role", "thresholds", *(("false alarms",) if alarms else ()), "note"),
                rows=tuple(
                    (
                        judge.name,
                        judge.role,
                        ", ".join(f"{k}: {number(v)}" for k, v in judge.thresholds.items()) or "–",
                        *((cell(judge.false_alarms),) if alarms else ()),
                        judge.note or "–",
                    )
                    for judge in record.judges
                ),
                numeric=False,
                caption="False alarms: of pictures without it, how many pass its threshold, as was "
                "measured when the thresholds were fixed."
                if alarms
                else "",
            )
        )
    return Section(
        key="judges",
        title="Who says what a picture shows",
        lead="The judge counts. The auditor, built differently, and the witness, which learned "
        "nothing, look at the same pictures; where they differ, look for yourself.",
        parts=tuple(parts),
    )


def checks(record: Record) -> Section | None:
    """The doubts that were raised."""
    if not record.checks and not record.notes:
        return None
    order = {"error": 0, "warning": 1, "info": 2}
    parts: list[Part] = [
        Notice(
            level=check.level,
            title=check.found,
            body=tuple(text for text in (check.meaning, check.advice) if text),
        )
        for check in sorted(record.checks, key=lambda check: order[check.level])
    ]
    parts += [Text(body=note) for note in record.notes]
    return Section(
        key="checks",
        title="Doubts about this report",
        lead="The evaluation is checked, too: overlap of pictures, power, agreement of judges.",
        parts=tuple(parts),
    )


def recipe(record: Record) -> Section:
    """What it takes to make it again."""
    subject = record.subject
    rows = [("Concept", listed([_concept(c) for c in subject.concepts]))]
    rows.append(("Model", " · ".join(t for t in (subject.model, subject.family) if t)))
    if subject.fingerprint:
        rows.append(("Fingerprint of its weights", subject.fingerprint))
    edit = subject.edit
    if edit is not None:
        rows += [
            ("Method", edit.method),
            ("Kind of edit", edit.kind.replace("_", " ")),
            ("Strength", "–" if edit.strength is None else number(edit.strength)),
            ("Verified by a judge", "yes" if edit.verified else "no"),
            ("Size", size(edit.nbytes)),
            ("Digest", edit.digest),
        ]
    rows += [("Budget", record.budget)] if record.budget else []
    rows += [("Seed", number(record.seed))] if record.seed is not None else []
    rows += [(f"Seeds to {name}", _seeds(found)) for name, found in record.seeds.items()]
    rows += [("Versions", ", ".join(f"{k} {v}" for k, v in record.versions.items()))]
    rows += [
        (f"{arm.label}: fingerprint", arm.fingerprint) for arm in record.arms if arm.fingerprint
    ]
    parts: list[Part] = [Facts(rows=tuple((name, text) for name, text in rows if text))]
    if edit is not None:
        whole = json.dumps(edit.recipe, indent=2, ensure_ascii=False)
        parts.append(Fold(title="The whole recipe", parts=(Text(code=whole),)))
    return Section(
        key="recipe",
        title="How to make it again",
        lead="The same seed gives the same bytes on the same machine with the same number of "
        "threads. Everything on this page is in report.json; every picture's score is in the "
        "table beside it.",
        parts=tuple(parts),
    )


def _concept(concept: object) -> str:
    found = concept if isinstance(concept, dict) else {}
    words = found.get("synonyms") or []
    also = f" (also {listed([str(word) for word in words])})" if isinstance(words, list) and words \
        else ""  # fmt: skip
    return f"{found.get('name', '')}{also}"


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) > 3 and list(seeds) == [seeds[0] + i for i in range(len(seeds))]:
        return f"{number(seeds[0])} to {number(seeds[-1])}"
    return listed([number(seed) for seed in seeds], most=12)
