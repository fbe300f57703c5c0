"""Evaluate an edit, or a model that somebody handed over; read and re-read reports."""

from __future__ import annotations

import os
from pathlib import Path

from excise.api.cases import SHIPPED, Oracle, Rivals, case_of, criteria_of
from excise.api.concepts import ConceptSource
from excise.api.judging import FeaturesSource, JudgeSource, clip_named, features_of
from excise.api.loading import EditSource, Source, history_of
from excise.progress import SILENT, Progress
from excise.reporting import Report
from excise.store import Cache, Stages, check_writable
from excise.suite import Budget, Plan, moved, plan
from excise.suite import evaluate as run
from excise.suite.plan import measure


def evaluate(
    model: Source,
    edit: EditSource | None = None,
    concept: ConceptSource | None = None,
    *,
    base: Source | None = None,
    oracle: Oracle = "auto",
    rivals: Rivals = (),
    judge: JudgeSource | None = None,
    features: FeaturesSource | None = None,
    clip: str | os.PathLike[str] | None = None,
    floor: float | None = None,
    budget: Budget = "standard",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Attack an edited model, say what was kept, and put base and oracle beside it.

    model: the unedited model with an ``edit``; without one, the model in question as it is, and
        then ``base`` may name the unedited one, which is asked for judge and oracle in its place.
    concept: left out, that of the edit. oracle: a model that never saw it; "auto" takes the
        embedded model's own if it has one, None goes without.
    rivals: other edits of the same model, by label. out: a folder to save the report to; a run
        that was killed goes on from what is in it.
    features: what describes pictures by vectors, for KID and FID, as `features_of` takes it; left
        out, the judge's network. clip: for the CLIP score, a folder or an id on the hub; left out,
        the model's own, else that of a zero-shot judge.
    floor: in [0, 1], how often a search is taken to show the concept in a model that never saw it.
        It stands in where there is neither an oracle nor a decoy to measure that on, and the report
        says so; without it the report cannot tell recovery from injection there. At 0 all that a
        search brings back counts as recovery.

    Raises:
        MissingJudge, WrongBase, UnknownName, BadFile, BadConcept, BadSetting: as they say.
    """
    criteria = criteria_of(floor)
    eyes, scorer = features_of(features), clip_named(clip)
    if out is not None:
        check_writable(Path(out) / "report.html")
    case = case_of(model, edit, concept, base=base, oracle=oracle, rivals=rivals, judge=judge)
    found = run(
        case.arms,
        case.concept,
        case.judges.first,
        others=case.judges.others,
        features=eyes,
        clip=scorer,
        budget=budget,
        seed=seed,
        found=history_of(edit),
        criteria=criteria,
        shipped=SHIPPED,
        cache=Cache(),
        stages=None if out is None else Stages(Path(out) / "stages"),
        progress=progress,
    )
    if out is not None:
        found.save(Path(out))
    return found


def estimate(
    model: Source,
    edit: EditSource | None = None,
    concept: ConceptSource | None = None,
    *,
    base: Source | None = None,
    oracle: Oracle = "auto",
    rivals: Rivals = (),
    judge: JudgeSource | None = None,
    budget: Budget = "standard",
    seed: int = 0,
) -> Plan:
    """What `evaluate` with the same arguments will do, with seconds from a short measurement."""
    case = case_of(model, edit, concept, base=base, oracle=oracle, rivals=rivals, judge=judge)
    made = plan(case.arms, case.concept, case.judges.first, budget=budget, seed=seed)
    return made.timed(measure(case.model))


def report(
    path: str | os.PathLike[str],
    *,
    threshold: float | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Report:
    """Read a report; at another threshold of its judge if one is given; written again to ``out``.

    Nothing is drawn again: a report keeps the concept's score of every picture, and that of every
    class of plain ones and of one picture of each input that an attack chose.

    Raises:
        BadFile: it is missing, damaged or of another format. BadSetting, UserError: as `Report.at`.
    """
    found = Report.load(Path(path))
    if threshold is not None:
        found = moved(found, threshold)
    if out is not None:
        found.save(Path(out))
    return found
