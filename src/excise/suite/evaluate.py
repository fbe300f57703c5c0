"""All sections, one after the other, and the report that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from excise.attacks.base import LOSSES
from excise.edit.recipe import versions
from excise.errors import UserError
from excise.method import Budget
from excise.primitives.clip import Clip
from excise.primitives.panel import labels_of
from excise.primitives.vision import Call, Extractor
from excise.progress import SILENT, stage
from excise.reporting.attacks import AttackResult, Excess, Recovery, WorstFound
from excise.reporting.attempts import roles
from excise.reporting.findings import AgreementRow, OverErasure, Stop
from excise.reporting.record import Record
from excise.reporting.report import Report
from excise.reporting.subject import Criteria
from excise.reporting.worst_case import largest_excess, worst_found
from excise.store import Archive, Cache, Stages
from excise.suite import agreement, facts, gallery, history, plain
from excise.suite.arms import Arm
from excise.suite.asked import Asked, given
from excise.suite.battery import Battery, fight
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.checks import Evidence, Sets, raised
from excise.suite.decided import decisions
from excise.suite.decoys import attack_decoys, topped
from excise.suite.held_out import HeldOut, delta_loss, held_out, over_erasure
from excise.suite.history import History
from excise.suite.inverted import inversions
from excise.suite.jury import Jury
from excise.suite.ladder import Ladder, can_attack, climb
from excise.suite.pull import pull_of
from excise.suite.returned import key_of
from excise.suite.rows import (
    LADDER,
    attack_row,
    enter_ladder,
    keep_shown,
    ladder_row,
    recovery,
    shown,
    title,
)
from excise.suite.sizes import Sizes, sizes_of
from excise.suite.slider import slider
from excise.types import Concept, Judge, Progress, Prompt

Settings = Mapping[str, Mapping[str, object]]
Seen = dict[str, tuple[Tensor, Tensor, list[int]]]
ENTRIES = 96  # of the bank of pictures, noises and levels, at each input that an attack found


def evaluate(
    arms: Sequence[Arm],
    concept: Concept,
    judge: Judge,
    *,
    others: Sequence[Judge] = (),
    features: Call | Extractor | None = None,
    clip: Clip | None = None,
    budget: Budget | Sizes = "standard",
    seed: int = 0,
    settings: Settings | None = None,
    texts: Sequence[str | Prompt] = (),
    whole: bool = True,
    keep: Path | None = None,
    found: History | None = None,
    criteria: Criteria | None = None,
    shipped: Archive | None = None,
    cache: Cache | None = None,
    stages: Stages | None = None,
    progress: Progress | None = None,
) -> Report:
    """One evaluation of several models on one concept.

    arms: one of them of the role "edit" (a model that was handed over, or a base with its edit),
        and a base, an oracle, rivals and controls where there are such.
    judge: what counts. others: the auditor and the witness, which are only compared with it; those
        that cannot tell the concept are left out.
    features: what describes pictures by vectors, for distances between sets of them; left out, the
        judge's network, if it can. clip: what scores how pictures fit their prompts; left out, the
        model's own, else that of a zero-shot judge.
    settings: of attacks, by name. texts: prompts that they are tried on; left out, the concept's
        own. whole: False for plain use and the attacks only. keep: a folder for the inputs that
        were found on the model in question, a file an attack.
    found: the record of the edit. criteria: what is asked of it, and the floor of searches where
        nothing measures it. shipped, cache, stages: as `Bench`.

    Raises:
        UserError: no arm, or two of one key. UnknownName: the judge cannot tell the concept.
    """
    bench = bench_of(arms, concept, judge, others, sizes_of(budget), seed, progress or SILENT,
                     shipped, cache, stages, features=features, clip=clip)  # fmt: skip
    past, book = found or History(), Book()
    kept, inverted, replaced = None, None, None
    stops: tuple[Stop, ...] = ()
    with stage(bench.progress, "evaluate", 4, "section") as told:
        rates = plain.plain_rows(bench, book)
        if whole:
            rates = (*rates, *plain.pair_rows(bench, book))
        told.advance()
        if whole:
            kept = plain.kept_section(bench, book)
            replaced = plain.replacement(bench) if labels_of(bench.judge) else None
        told.advance()
        searched = _Searched()
        if can_attack(bench):
            floor = criteria.floor if criteria else None
            searched = _searched(bench, book, settings or {}, given(bench, texts) or None, floor)
        told.advance()
        if whole:
            inverted = inversions(bench, book, past, searched.held)
            gallery.gallery(bench, book)
            stops = slider(bench, book)
        told.advance()
    if keep is not None and searched.battery is not None:
        for name, results in searched.battery.results.items():
            results[bench.question.key].save(keep / f"{name}.safetensors")
    agreed = (*agreement.plain_agreement(bench, book), *searched.agreement)
    edit = facts.edit_in_question(bench)
    record = Record(
        subject=facts.subject(bench, edit, past),
        arms=tuple(facts.arm_facts(arm) for arm in bench.arms.values()),
        criteria=criteria or Criteria(),
        budget=bench.sizes.name,
        seed=seed,
        seeds=facts.seeds(bench, searched.battery),
        versions=versions(),
        machine=facts.machine(bench),
        judges=facts.judges(bench),
        pictures=tuple(book.groups),
        rates=rates,
        attacks=searched.attacks,
        excess=searched.excess,
        worst_found=searched.worst,
        recoveries=searched.recoveries,
        left_out=dict(searched.battery.left_out) if searched.battery else {},
        over_erasure=searched.over_erasure,
        kept=kept,
        strength=history.strength(past),
        slider=stops,
        inversions=inverted,
        blocks=history.blocks(past),
        replacement=replaced,
        agreement=agreed,
        costs=facts.costs(bench, past),
        notes=facts.notes(bench, searched.battery),
    )
    rest = plain.everything_else(bench) if kept is not None else None
    seen = Evidence(
        bench=bench,
        book=book,
        record=record,
        history=past,
        sets=Sets(
            attacker=() if searched.ladder is None else searched.ladder.pictures,
            held_out=() if searched.held is None else searched.held.hashes,
        ),
        kept={} if rest is None else bench.every(rest, plain.KEPT),
        battery=searched.battery,
        pull=pull_of(bench, searched.held),
        whole=whole,
    )
    record = record.model_copy(update={"checks": raised(seen)})
    return Report(record=record, pictures=book.sheets, scores=book.table)


def bench_of(
    arms: Sequence[Arm],
    concept: Concept,
    judge: Judge,
    others: Sequence[Judge],
    sizes: Sizes,
    seed: int,
    progress: Progress,
    shipped: Archive | None,
    cache: Cache | None,
    stages: Stages | None,
    *,
    features: Call | Extractor | None = None,
    clip: Clip | None = None,
) -> Bench:
    """What the sections of an evaluation share; with the same arguments they find what was kept.

    Raises as `evaluate`.
    """
    keys = [arm.key for arm in arms]
    if not keys or len(set(keys)) < len(keys):
        raise UserError(f"expected models under different names to evaluate, got {keys}")
    bench = Bench(
        arms={arm.key: arm for arm in arms},
        concept=concept,
        judge=judge,
        sizes=sizes,
        seed=seed,
        progress=progress,
        shipped=shipped,
        cache=cache,
        stages=stages,
        features=features,
        clip=clip,
    )
    full, panels = bench.full, [judge, *others]
    if others and all(labels_of(one) is not None for one in panels):
        several: Any = tuple(panels)
        jury = Jury(panels=several).able(full)
        bench = Bench(**{**vars(bench), "judge": jury if len(jury.panels) > 1 else judge})
    _ = bench.label  # a judge that cannot tell the concept says so before anything is drawn
    return bench


@dataclass(frozen=True, eq=False, kw_only=True)
class _Searched:
    """What attacks found, and what was measured on pictures of the concept; empty without any."""

    ladder: Ladder | None = None
    battery: Battery | None = None
    held: HeldOut | None = None
    attacks: tuple[AttackResult, ...] = ()
    excess: Excess | None = None
    worst: WorstFound | None = None
    over_erasure: OverErasure | None = None
    agreement: tuple[AgreementRow, ...] = ()

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        """The curves of attacks that change the model."""
        battery = self.battery
        return () if battery is None else tuple(recovery(battery, x) for x in battery.curves)


def _searched(
    bench: Bench,
    book: Book,
    settings: Settings,
    texts: tuple[Asked, ...] | None,
    floor: float | None,
) -> _Searched:
    ladder, held = topped(bench, climb(bench)), held_out(bench)
    decoys = attack_decoys(bench, ladder.headline, len(ladder.pictures)) if ladder.rungs else {}
    battery = fight(bench, ladder.headline, settings, texts)
    arms = roles(tuple(bench.arms.values()))
    tried = book.attempts = replace(
        battery.attempts,
        rungs={key_of(rung): by for rung, by in ladder.results.items()},
        best_of=ladder.best_of,
        decoys=decoys,
        drawn=decisions(bench, battery),
    )
    enter_ladder(book, tried)
    part = held.thinned(ENTRIES)
    rows = []
    if ladder.rungs and LADDER not in battery.results:
        rows.append(ladder_row(bench, tried, ladder))
    seen: dict[str, Seen] = {}
    for name, attack in battery.attacks.items():
        if name not in battery.results:
            continue
        results = battery.results[name]
        weighed = bool(LOSSES & attack.needs) and attack.kind == "confirming"
        gaps = delta_loss(bench, book, part, results) if weighed else {}
        row = attack_row(bench, book, battery, tried, name, ladder, gaps)
        seen[name] = {key: shown(bench, bench.arms[key], one) for key, one in results.items()}
        keep_shown(bench, book, name, results, seen[name])
        pictures = gallery.attack_pictures(bench, book, name, title(name), results, seen[name])
        rows.append(row.model_copy(update={"pictures": pictures}))
    return _Searched(
        ladder=ladder,
        battery=battery,
        held=held,
        attacks=tuple(rows),
        excess=largest_excess(arms, tried, bench.seed, floor),
        worst=worst_found(arms, tried),
        over_erasure=over_erasure(bench, book, held),
        agreement=agreement.attacked_agreement(bench, book, battery, seen),
    )
