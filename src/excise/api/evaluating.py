"""Evaluate an edit, or a model that somebody handed over; read and re-read reports."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from excise.api.concepts import ConceptSource, concept_of
from excise.api.judging import JudgeSource, judges_for
from excise.api.loading import EditSource, Source, edit_of, history_of, load
from excise.edit import Edit
from excise.errors import BadConcept
from excise.models.load import ASSETS, NOTES, embedded
from excise.progress import SILENT, Progress
from excise.reporting import Report
from excise.store import Cache, Stages, check_writable, read_json
from excise.suite import Arm, Budget, Plan, plan
from excise.suite import evaluate as run
from excise.suite.plan import measure
from excise.types import Concept, TextToImage

Oracle = Source | Literal["auto"] | None
Rivals = Mapping[str, EditSource] | Sequence[EditSource]


def evaluate(
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
    out: str | os.PathLike[str] | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Attack an edited model, say what was kept, and put base and oracle beside it.

    model: the unedited model with an ``edit``; without one, the model in question as it is, and
        then ``base`` may name the unedited one.
    concept: left out, that of the edit. oracle: a model that never saw it; "auto" takes the
        embedded model's own if it has one, None goes without.
    rivals: other edits of the same model, by label. out: a folder to save the report to; a run
        that was killed goes on from what is in it.

    Raises:
        MissingJudge, WrongBase, UnknownName, BadFile, BadConcept: as they say.
    """
    if out is not None:
        check_writable(Path(out) / "report.html")
    model = load(model)
    target = concept_for(model, edit, concept)
    judges = judges_for(model, (target,), judge)
    found = run(
        arms_of(model, edit, target, base=base, oracle=oracle, rivals=rivals),
        target,
        judges.first,
        others=judges.others,
        budget=budget,
        seed=seed,
        found=history_of(edit),
        shipped=Cache(ASSETS / "cache"),
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
    model = load(model)
    target = concept_for(model, edit, concept)
    judges = judges_for(model, (target,), judge)
    arms = arms_of(model, edit, target, base=base, oracle=oracle, rivals=rivals)
    return plan(arms, target, judges.first, budget=budget, seed=seed).timed(measure(model))


def report(
    path: str | os.PathLike[str],
    *,
    threshold: float | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Report:
    """Read a report; at another threshold of its judge if one is given; written again to ``out``.

    Raises:
        BadFile: it is missing, damaged or of another format. BadSetting, UserError: as `Report.at`.
    """
    found = Report.load(Path(path))
    if threshold is not None:
        found = found.at(threshold)
    if out is not None:
        found.save(Path(out))
    return found


def concept_for(
    model: TextToImage, edit: EditSource | None, concept: ConceptSource | None
) -> Concept:
    """The concept named, or the first of the edit's. Raises BadConcept if there is none."""
    if concept is not None:
        return concept_of(model, concept)
    rows = () if edit is None else edit_of(edit).recipe.concepts
    if not rows:
        raise BadConcept("expected a concept to look for, got none; name one, such as cat")
    row: dict[str, Any] = dict(rows[0])
    if row.pop("pictures", None) is not None:
        raise BadConcept(
            f"expected the pictures of {row['name']!r}, which the edit was made from and does not "
            "hold; name its concept.toml"
        )
    texts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return concept_of(model, Concept(texts.pop("name"), **texts))


def arms_of(
    model: TextToImage,
    edit: EditSource | None,
    concept: Concept,
    *,
    base: Source | None = None,
    oracle: Oracle = "auto",
    rivals: Rivals = (),
) -> tuple[Arm, ...]:
    """The models of an evaluation: base, edit, oracle, rivals."""
    arms: list[Arm] = []
    if edit is not None:
        arms.append(Arm(key="base", label="before", role="base", model=model))
        own = edit_of(edit)
        own.check(model)  # before anything is drawn
        arms.append(Arm(key="edit", label="after", role="edit", model=model, edit=own))
    else:
        if base is not None:
            arms.append(Arm(key="base", label="before", role="base", model=load(base)))
        arms.append(Arm(key="edit", label=model.name, role="edit", model=model))
    found = _oracle(model, concept) if isinstance(oracle, str) and oracle == "auto" else oracle
    if found is not None:
        other = load(found)
        arms.append(
            Arm(
                key="oracle",
                label=f"never shown {concept.name}",
                role="oracle",
                model=other,
                note=other.name,
            )
        )
    named = rivals.items() if isinstance(rivals, Mapping) else [(None, one) for one in rivals]
    for i, (label, source) in enumerate(named):
        rival: Edit = edit_of(source)
        rival.check(model)
        title = label or rival.recipe.method.replace("_", " ")
        arms.append(Arm(key=f"rival-{i + 1}", label=title, role="rival", model=model, edit=rival))
    return tuple(arms)


def _oracle(model: TextToImage, concept: Concept) -> str | None:
    """The embedded model that was trained like this one, without the concept."""
    for name in embedded():
        if name.startswith(f"{model.name}/") and (ASSETS / name / NOTES).exists():
            notes = read_json(ASSETS / name / NOTES)
            if isinstance(notes, dict) and concept.name in notes.get("without", ()):
                return name
    return None
