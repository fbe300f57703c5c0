"""The judge, the auditor and the witness on the same pictures, plain and attacked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from excise.primitives.panel import Sheet, label_of
from excise.reporting.figures import Rate
from excise.reporting.findings import AgreementRow
from excise.suite.battery import Battery
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.jury import Jury
from excise.suite.plain import PLAIN, use_probe

Seen = Mapping[str, tuple[Tensor, Tensor, list[int]]]


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
    bench: Bench, book: Book, battery: Battery, seen: Mapping[str, Seen]
) -> tuple[AgreementRow, ...]:
    """On what all attacks brought back, a row an arm.

    seen: by attack and arm, pictures, all judges' scores (P, labels), and seeds.
    """
    jury = bench.jury
    if jury is None or not seen:
        return ()
    rows = []
    for arm in bench.arms:
        texts, seeds = [], []
        for name, found in seen.items():
            texts += list(battery.results[name][arm].prompts)
            seeds += found[arm][2]
        sheet = Sheet(
            judge=jury.title,
            labels=jury.labels,
            things=jury.things,
            values=torch.cat([found[arm][1] for found in seen.values()]),
            thresholds=dict(jury.thresholds),
        )
        rates = _rates(bench, book, jury, "attacked", arm, sheet, texts, seeds, known=0)
        rows.append(
            AgreementRow(label="pictures under attack", arm=arm, rates=rates, key="attacked")
        )
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
    known: int = 1,
) -> dict[str, Rate]:
    """By judge. The first of them may be in the table already; the others are entered here."""
    found = {}
    for i, (panel, own) in enumerate(zip(jury.panels, jury.apart(sheet).values(), strict=True)):
        score = own.score(label_of(panel, bench.full))
        found[own.judge] = Rate.across(score.shown.tolist(), {"prompt": prompts})
        if i >= known:
            named = replace(score, concept=bench.label)
            book.enter(group, arm, named, prompts=prompts, seeds=seeds)
    return found
