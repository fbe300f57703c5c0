"""Doubts about the evaluation itself that are cheap to raise and certain when raised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from excise.primitives.arithmetic import Guidance
from excise.reporting.attacks import AttackResult
from excise.reporting.findings import AgreementRow, RateRow
from excise.reporting.record import Record
from excise.reporting.subject import Check
from excise.reporting.wording import listed, number, percent, points
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.history import History

POINTS = 0.03  # within which judges agree
FALSE_ALARMS = 0.02
POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Sets:
    """SHA-256 of the pictures that were used: the attacker's, and those that losses are from."""

    attacker: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()


def doubts(
    bench: Bench, history: History, book: Book, record: Record, sets: Sets
) -> tuple[Check, ...]:
    """All that were raised. record: the whole report, but for its checks."""
    found = [*_numbers(bench, book), *_references(bench, record.rates), *_overlap(history, sets)]
    found += [*_guidance(bench, history), *_judges(bench, record.agreement)]
    found += [*_decoys(bench, record.attacks), *_power(record)]
    if record.kept is None:
        found.append(
            Check(
                name="nothing_to_keep",
                found="Nothing was found that has to stay and that the judge can tell.",
                meaning="A model that draws nothing would pass as well.",
                advice="Give the concept neighbours among the judge's labels.",
            )
        )
    if record.subject.edit is not None and not record.subject.edit.verified:
        found.append(
            Check(
                name="not_verified",
                found="The edit was made without a judge that saw the concept go.",
                meaning="Its strength was set, not found.",
            )
        )
    return tuple(found)


def _references(bench: Bench, rates: Sequence[RateRow]) -> Iterator[Check]:
    word = next((row for row in rates if row.kind == "word"), None)
    plain = next((row for row in rates if row.kind == "plain"), None)
    base, oracle = bench.role("base"), bench.role("oracle")
    if base is not None and word is not None and word.rates[base.key].value < 0.5:
        yield Check(
            name="base_lacks_concept",
            level="error",
            found=f"The unedited model draws it in {word.rates[base.key].value:.0%} of pictures.",
            meaning="What is not there cannot be erased: no figure below says anything.",
            advice="Look at the pictures and at the judge; choose another concept or judge.",
        )
    if oracle is not None and plain is not None and plain.rates[oracle.key].value > FALSE_ALARMS:
        yield Check(
            name="oracle_shows_concept",
            found=f"The judge sees it in {plain.rates[oracle.key].value:.1%} of the oracle's "
            "plain pictures.",
            meaning="These are false alarms, or the oracle was shown the concept after all.",
            advice="Look at the oracle's pictures.",
        )
    if base is None:
        yield Check(
            name="no_base",
            level="info",
            found="There is no unedited model to compare with.",
            meaning="What was kept cannot be told from what the model never drew well.",
        )
    if oracle is None:
        yield Check(
            name="no_oracle",
            level="info",
            found="There is no model that never saw the concept.",
            meaning="What an attack reaches may be recovery or injection; nobody can tell which.",
        )


def _numbers(bench: Bench, book: Book) -> Iterator[Check]:
    """Scores and figures that are not finite; a score that is none would count as "not seen"."""
    bad: dict[str, int] = {}
    for (arm, _), look in bench.looks.items():
        what = f"plain pictures of {_label(bench, arm)}"
        bad[what] = bad.get(what, 0) + int((~look.sheet.values.isfinite()).any(dim=1).sum())
    table = book.table
    if table is not None:
        odd = ~np.isfinite(table.values)
        for group, arm in zip(table.factors["group"][odd], table.factors["arm"][odd], strict=True):
            what = f"pictures of {_label(bench, str(arm))} ({group})"
            bad[what] = bad.get(what, 0) + 1
    places = [f"{n} of {what}" for what, n in bad.items() if n]
    if places:
        yield Check(
            name="scores_not_finite",
            level="error",
            found=f"A judge gave no finite score to {listed(places)}.",
            meaning="Such pictures count as if the concept were not in them.",
            advice="Look at the pictures; draw in float32 if they are black.",
        )
    if book.odd:
        yield Check(
            name="figures_not_finite",
            level="error",
            found=f"No finite number came out for: {listed(book.odd)}.",
            meaning="The model's prediction overflowed there; the figures are left out.",
            advice="Evaluate in float32.",
        )


def _power(record: Record) -> Iterator[Check]:
    """How likely these many pictures are to show that an edit as good as the oracle is one.

    By the normal approximation, from the spread that was seen.
    """
    excess = record.excess
    attack = next((a for a in record.attacks if excess and a.name == excess.attack), None)
    rung = attack.counts if attack else None
    arm = record.arm("edit")
    if excess is None or rung is None or arm is None or excess.upper <= excess.value:
        return
    normal, margin = NormalDist(), record.criteria.excess
    quantile = normal.inv_cdf(excess.level)
    chance = normal.cdf(quantile * (margin / (excess.upper - excess.value) - 1))
    enough = chance >= POWER
    yield Check(
        name="power",
        level="info" if enough else "warning",
        found=f"{number(rung.rates[arm.key].n)} pictures of each model under attack.",
        meaning="An edit that is exactly as good as the reference would be shown to lie within "
        f"{points(margin)} of it with a probability of {percent(chance)}.",
        advice="" if enough else "Evaluate at a larger budget.",
    )


def _label(bench: Bench, arm: str) -> str:
    return f"“{bench.arms[arm].label}”"


def _overlap(history: History, sets: Sets) -> Iterator[Check]:
    shared = history.hashes & set(sets.attacker)
    if shared:
        yield Check(
            name="sets_overlap",
            level="error",
            found=f"{len(shared)} of the attacker's pictures are among those the edit was made of.",
            meaning="The attack is then a test on the training set.",
            advice="Give more pictures, or let the model draw them.",
        )
    held = set(sets.held_out)
    for who, seen in (("the edit", history.hashes), ("the attacker", set(sets.attacker))):
        if both := seen & held:
            yield Check(
                name="held_out_overlap",
                found=f"{len(both)} of the {len(held)} pictures that losses are measured on are "
                f"not held out: {who} had them too.",
                meaning="A loss on pictures that were trained on is too small.",
                advice="Give those that the edit was made from, which are then cut alike; or "
                "others; or none, and the model draws them.",
            )


def _decoys(bench: Bench, attacks: Sequence[AttackResult]) -> Iterator[Check]:
    for attack in attacks:
        decoys = attack.decoys
        for arm, gap in decoys.gaps.items() if decoys else ():
            if decoys and not decoys.agrees(arm):
                yield Check(
                    name="floors_differ",
                    found=f"What {attack.label} reaches on {_label(bench, arm)} for things that it "
                    "was never shown differs from what it reaches on the oracle by "
                    f"{points(gap.value)}.",
                    meaning="Here such things cannot stand in for an oracle.",
                    advice="Read the attack beside the oracle only.",
                )


def _guidance(bench: Bench, history: History) -> Iterator[Check]:
    found = history.record.get("guidance")
    scale = getattr(getattr(bench.plain, "defaults", None), "guidance", None)
    if not found or scale is None or scale <= 1:
        return
    measured = Guidance(null=found["null"], concept=found["concept"])
    if measured.net(scale) >= 0:
        yield Check(
            name="guidance_ratio",
            level="error",
            found=f"The conditional prediction moves {measured.ratio:.2f} times as far as the "
            f"unconditional one; at guidance {scale:g} more than {measured.bound(scale):.2f} is "
            "needed.",
            meaning="Guidance adds back what the edit takes away.",
            advice="Train with captions too.",
        )


def _judges(bench: Bench, agreement: Sequence[AgreementRow]) -> Iterator[Check]:
    if bench.jury is None:
        yield Check(
            name="one_judge",
            level="info",
            found="One judge looked alone.",
            meaning="Where it errs, nothing shows it.",
        )
    for row in agreement:
        names = list(row.rates)
        for other in names[1:]:
            gap = row.rates[other].value - row.rates[names[0]].value
            if abs(gap) > POINTS:
                yield Check(
                    name="judges_disagree",
                    found=f"On {row.label} of {_label(bench, row.arm)}, {other} differs from "
                    f"{names[0]} by {100 * gap:+.1f} points.",
                    meaning="A rate is as good as the judge that counts.",
                    advice="Look at these pictures.",
                )
