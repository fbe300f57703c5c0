"""All sections, one after the other, and the report that they make."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from excise.edit import Edit
from excise.edit.recipe import versions
from excise.errors import UserError
from excise.primitives.panel import labels_of, title
from excise.progress import SILENT, stage
from excise.reporting.attacks import AttackResult, Excess
from excise.reporting.figures import Cost
from excise.reporting.findings import AgreementRow
from excise.reporting.record import Record
from excise.reporting.report import Report
from excise.reporting.subject import Arm as ArmFacts
from excise.reporting.subject import CostRow, Criteria, EditFacts, JudgeFacts, Subject
from excise.store import Cache, Stages
from excise.suite import agreement, gallery, history, plain
from excise.suite.arms import Arm
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.doubts import doubts
from excise.suite.history import History
from excise.suite.jury import Jury
from excise.suite.ladder import Ladder, can_attack, climb, replayed
from excise.suite.returned import concept_attack, key_of, largest
from excise.suite.sizes import Budget, Sizes, sizes_of
from excise.types import Concept, Costs, Judge, Progress

ROLES = ("judge", "auditor", "witness")


def evaluate(
    arms: Sequence[Arm],
    concept: Concept,
    judge: Judge,
    *,
    others: Sequence[Judge] = (),
    budget: Budget | Sizes = "standard",
    seed: int = 0,
    found: History | None = None,
    criteria: Criteria | None = None,
    shipped: Cache | None = None,
    cache: Cache | None = None,
    stages: Stages | None = None,
    progress: Progress | None = None,
) -> Report:
    """One evaluation of several models on one concept.

    arms: one of them of the role "edit" (a model that was handed over, or a base with its edit),
        and a base, an oracle, rivals and controls where there are such.
    judge: what counts. others: the auditor and the witness, which are only compared with it; those
        that cannot tell the concept are left out.
    found: the record of the edit. shipped, cache, stages: as `Bench`.

    Raises:
        UserError: no arm, or two of one key. UnknownName: the judge cannot tell the concept.
    """
    bench = _bench(arms, concept, judge, others, sizes_of(budget), seed, progress or SILENT,
                   shipped, cache, stages)  # fmt: skip
    past, book = found or History(), Book()
    with stage(bench.progress, "evaluate", 4, "section") as told:
        rates = (*plain.plain_rows(bench, book), *plain.pair_rows(bench, book))
        told.advance()
        kept = plain.kept_section(bench)
        told.advance()
        ladder = climb(bench) if can_attack(bench) else None
        attacks, agreed, excess = _attacks(bench, book, ladder)
        told.advance()
        inverted = history.inversions(bench, book, past)
        gallery.gallery(bench, book)
        told.advance()
    agreed = (*agreement.plain_agreement(bench, book), *agreed)
    edit = _edit(bench)
    record = Record(
        subject=_subject(bench, edit, past),
        arms=tuple(_facts(arm) for arm in bench.arms.values()),
        criteria=criteria or Criteria(),
        budget=budget if isinstance(budget, str) else "own",
        seed=seed,
        seeds=_seeds(ladder),
        versions=versions(),
        machine=_machine(bench),
        judges=_judges(bench),
        pictures=tuple(book.groups),
        rates=rates,
        attacks=attacks,
        excess=excess,
        kept=kept,
        strength=history.strength(past),
        inversions=inverted,
        blocks=history.blocks(past),
        replacement=plain.replacement(bench) if labels_of(bench.judge) else None,
        agreement=agreed,
        costs=_costs(bench, past),
        checks=doubts(
            bench,
            past,
            rates,
            kept,
            ladder,
            agreed,
            None if edit is None else edit.recipe.verified,
        ),
        notes=_notes(bench, ladder),
    )
    return Report(record=record, pictures=book.sheets, scores=book.table)


def _bench(
    arms: Sequence[Arm],
    concept: Concept,
    judge: Judge,
    others: Sequence[Judge],
    sizes: Sizes,
    seed: int,
    progress: Progress,
    shipped: Cache | None,
    cache: Cache | None,
    stages: Stages | None,
) -> Bench:
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
    )
    full, panels = bench.full, [judge, *others]
    if others and all(labels_of(one) is not None for one in panels):
        several: Any = tuple(panels)
        jury = Jury(panels=several).able(full)
        bench = Bench(**{**vars(bench), "judge": jury if len(jury.panels) > 1 else judge})
    _ = bench.label  # a judge that cannot tell the concept says so before anything is drawn
    return bench


def _attacks(
    bench: Bench, book: Book, ladder: Ladder | None
) -> tuple[tuple[AttackResult, ...], tuple[AgreementRow, ...], Excess | None]:
    if ladder is None:
        return (), (), None
    result = concept_attack(bench, ladder, book)
    again = {key: replayed(bench, bench.arms[key], one) for key, one in ladder.counted.items()}
    first = next(iter(ladder.counted.values()))
    texts = [text for text in first.prompts for _ in first.score_seeds]
    key = f"concept_inversion/{key_of(ladder.headline)}"
    pictures = gallery.attack_pictures(
        bench,
        book,
        key,
        "what the attack brought back, each model with its own inputs",
        {arm: thumbs for arm, (thumbs, _, _) in again.items()},
        {
            arm: (one.chosen_values >= one.threshold).reshape(-1)
            for arm, one in ladder.counted.items()
        },
        texts,
        next(iter(again.values()))[2],
    )
    agreed = agreement.attacked_agreement(
        bench,
        book,
        key,
        {arm: values for arm, (_, values, _) in again.items()},
        texts,
        {arm: seeds for arm, (_, _, seeds) in again.items()},
    )
    return (result.model_copy(update={"pictures": pictures}),), agreed, largest(bench, ladder)


def _edit(bench: Bench) -> Edit | None:
    arm = bench.role("edit")
    return arm.edit if arm is not None and isinstance(arm.edit, Edit) else None


def _subject(bench: Bench, edit: Edit | None, past: History) -> Subject:
    strength = past.record.get("strength")
    facts = None
    if edit is not None:
        facts = EditFacts(
            method=edit.recipe.method,
            kind=edit.kind,
            digest=edit.digest,
            nbytes=edit.nbytes,
            strength=float(strength) if isinstance(strength, int | float) else None,
            verified=edit.recipe.verified,
            recipe=edit.recipe.to_json(),
        )
    return Subject(
        concepts=(bench.full.to_json(),),
        model=bench.plain.name,
        family=bench.plain.family,
        fingerprint=_fingerprint(bench.role("base") or next(iter(bench.arms.values()))),
        edit=facts,
    )


def _facts(arm: Arm) -> ArmFacts:
    return ArmFacts(
        key=arm.key, label=arm.label, role=arm.role, fingerprint=_fingerprint(arm), note=arm.note
    )


def _fingerprint(arm: Arm) -> str:
    return str(arm.identity["weights"])


def _seeds(ladder: Ladder | None) -> dict[str, tuple[int, ...]]:
    if ladder is None:
        return {}
    one = next(iter(ladder.counted.values()))
    return {"select": one.select_seeds, "score": one.score_seeds}


def _machine(bench: Bench) -> dict[str, Any]:
    return {
        "device": str(bench.plain.device),
        "dtype": str(bench.plain.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "processor": platform.machine(),
    }


def _judges(bench: Bench) -> tuple[JudgeFacts, ...]:
    panels: Sequence[Any] = bench.jury.panels if bench.jury is not None else (bench.judge,)
    found = []
    for panel, role in zip(panels, ROLES, strict=False):
        cuts: Mapping[str, float] = getattr(panel, "thresholds", {})
        own = {name: float(cuts[name]) for name in bench.full.names if name in cuts}
        found.append(
            JudgeFacts.model_validate({"name": title(panel), "role": role, "thresholds": own})
        )
    return tuple(found)


def _costs(bench: Bench, past: History) -> tuple[CostRow, ...]:
    rows = []
    if isinstance(made := past.record.get("costs"), Mapping):
        rows.append(CostRow(stage="erase", cost=Cost.of(Costs(**made))))
    for (section, arm), costs in bench.spent.items():
        label = bench.arms[arm].label
        rows.append(CostRow(stage=f"{section}: {label}", cost=Cost.of(costs)))
    return tuple(rows)


def _notes(bench: Bench, ladder: Ladder | None) -> tuple[str, ...]:
    notes = ["This is no legal or safety certificate: it says what was not found, and how it was "
             "looked for."]  # fmt: skip
    if ladder is None:
        notes.append(
            "No attack was run: there were no pictures of the concept, and no unedited model to "
            "draw them."
        )
    return tuple(notes)
