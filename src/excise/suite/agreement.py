"""The judge, the auditor and the witness on the same pictures, plain and attacked."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from excise.primitives.panel import Sheet, label_of
from excise.reporting.figures import Rate
from excise.reporting.findings import AgreementRow
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.jury import Jury
from excise.suite.plain import PLAIN, use_probe


def plain_agreement(bench: Bench, book: Book) -> tuple[AgreementRow, ...]:
    """On all plain pictures, a row an arm; nothing if one judge looks alone."""
    jury = bench.jury
    if jury is None:
        return ()
    rows = []
    for arm, look in bench.every(use_probe(bench), PLAIN).items():
        shots = look.probe.shots
        rates = _rates(
            bench,
            book,
            jury,
            "plain",
            arm,
            look.sheet,
            [shot.prompt.text for shot in shots],
            [shot.seed for shot in shots],
        )
        rows.append(AgreementRow(label="plain prompts", arm=arm, rates=rates, key="plain"))
    return tuple(rows)


def attacked_agreement(
    bench: Bench, book: Book, key: str, values: dict[str, Tensor], prompts: list[str],
    seeds: dict[str, list[int]],
) -> tuple[AgreementRow, ...]:  # fmt: skip
    """On what an attack brought back. values: by arm, all judges' scores (n, labels)."""
    jury = bench.jury
    if jury is None:
        return ()
    rows = []
    for arm, scores in values.items():
        sheet = Sheet(
            judge=jury.title,
            labels=jury.labels,
            things=jury.things,
            values=scores,
            thresholds=dict(jury.thresholds),
        )
        rates = _rates(bench, book, jury, key, arm, sheet, prompts, seeds[arm])
        rows.append(AgreementRow(label="pictures under attack", arm=arm, rates=rates, key=key))
    return tuple(rows)


def _rates(
    bench: Bench,
    book: Book,
    jury: Jury,
    group: str,
    arm: str,
    sheet: Sheet,
    prompts: list[str],
    seeds: list[int],
) -> dict[str, Rate]:
    """By judge. The one that counts is in the table already; the others are entered here."""
    found = {}
    for i, (panel, own) in enumerate(zip(jury.panels, jury.apart(sheet).values(), strict=True)):
        score = own.score(label_of(panel, bench.full))
        found[own.judge] = Rate.of(int(score.shown.sum()), len(score))
        if i:
            named = replace(score, concept=bench.label)
            book.enter(group, arm, named, prompts=prompts, seeds=seeds)
    return found
