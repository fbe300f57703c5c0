"""Attack a model: the standard suite, or some of it, with every reference beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from excise import registry
from excise.api.cases import SHIPPED, Oracle, Rivals, case_of, criteria_of
from excise.api.concepts import ConceptSource
from excise.api.judging import JudgeSource
from excise.api.loading import EditSource, Source, history_of
from excise.errors import BadSetting
from excise.method import Budget
from excise.progress import SILENT, Progress
from excise.reporting import Report
from excise.store import Cache, Stages, check_writable
from excise.suite import Plan, Sizes, plan, sizes_of
from excise.suite import evaluate as run
from excise.suite.plan import measure
from excise.types import Prompt

Settings = Mapping[str, Mapping[str, object]]


def attack(
    model: Source,
    edit: EditSource | None = None,
    concept: ConceptSource | None = None,
    *,
    methods: Sequence[str] = (),
    settings: Settings | None = None,
    prompts: Sequence[str | Prompt] = (),
    base: Source | None = None,
    oracle: Oracle = "auto",
    rivals: Rivals = (),
    judge: JudgeSource | None = None,
    floor: float | None = None,
    budget: Budget = "standard",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    found: str | os.PathLike[str] | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Search a model for what brings a concept back: each attack afresh on every model.

    model, edit, concept, base, oracle, rivals, judge, floor: as `evaluate`.
    methods: attacks; left out, those of the budget: ``quick`` tries a few, one after the other
        until one brings it back, and makes no claim; ``standard`` runs all of them. With some named
        there is no token ladder.
    settings: of attacks, by name. prompts: left out, the concept's own: with its name, synonyms
        and words held back, and without.
    out: a folder to save the report to; a run that was killed goes on from what is in it.
    found: a folder for the inputs that were found on the model in question, a file an attack: they
        bring the concept back, and are kept nowhere else.

    Raises:
        UnknownName, BadSetting, MissingJudge, WrongBase, BadFile, BadConcept: as they say.
    """
    sizes, criteria = sizes_for(methods, settings or {}, budget), criteria_of(floor)
    if out is not None:
        check_writable(Path(out) / "report.html")
    if found is not None:
        check_writable(Path(found) / "attack.safetensors")
    case = case_of(model, edit, concept, base=base, oracle=oracle, rivals=rivals, judge=judge)
    report = run(
        case.arms,
        case.concept,
        case.judges.first,
        others=case.judges.others,
        budget=sizes,
        seed=seed,
        settings=settings,
        texts=prompts,
        whole=False,
        keep=None if found is None else Path(found),
        found=history_of(edit),
        criteria=criteria,
        shipped=SHIPPED,
        cache=Cache(),
        stages=None if out is None else Stages(Path(out) / "stages"),
        progress=progress,
    )
    if out is not None:
        report.save(Path(out))
    return report


def estimate_attack(
    model: Source,
    edit: EditSource | None = None,
    concept: ConceptSource | None = None,
    *,
    methods: Sequence[str] = (),
    settings: Settings | None = None,
    base: Source | None = None,
    oracle: Oracle = "auto",
    rivals: Rivals = (),
    judge: JudgeSource | None = None,
    budget: Budget = "standard",
    seed: int = 0,
) -> Plan:
    """What `attack` with the same arguments will do, with seconds from a short measurement."""
    sizes = sizes_for(methods, settings or {}, budget)
    case = case_of(model, edit, concept, base=base, oracle=oracle, rivals=rivals, judge=judge)
    made = plan(
        case.arms, case.concept, case.judges.first, budget=sizes, seed=seed, settings=settings,
        whole=False,
    )  # fmt: skip
    return made.timed(measure(case.model))


def sizes_for(methods: Sequence[str], settings: Settings, budget: Budget) -> Sizes:
    """The numbers of a run of some attacks. Raises UnknownName, BadSetting."""
    for name in (*methods, *settings):
        registry.get("attack", name)
    sizes = sizes_of(budget)
    if strangers := sorted(set(settings) - set(methods or sizes.attacks or settings)):
        raise BadSetting(
            f"expected settings of attacks that are run, got some of {', '.join(strangers)}; name "
            "them as methods too"
        )
    if not methods:
        return sizes
    return replace(sizes, attacks=tuple(dict.fromkeys(methods)), rungs=(), decoys=0, cascade=False)
