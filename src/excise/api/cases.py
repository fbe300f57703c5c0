"""What an evaluation is about: the models, the concept and the judges, from what a user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from excise.api.concepts import ConceptSource, concept_of
from excise.api.judging import Judges, JudgeSource, brings_one, judges_for
from excise.api.loading import EditSource, Source, edit_of, load
from excise.edit import Edit
from excise.errors import BadConcept, BadSetting, MissingJudge
from excise.models.base import DiffusionModel
from excise.models.load import ASSETS, NOTES, embedded
from excise.reporting import Criteria
from excise.store import Archive, read_json
from excise.suite import Arm
from excise.types import Concept, TextToImage

Oracle = Source | Literal["auto"] | None
Rivals = Mapping[str, EditSource] | Sequence[EditSource]

SHIPPED = Archive(ASSETS / "results.zip")
"""What attacks found on the embedded model and its oracles; see ``benchmarks/ship.py``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """The models that are looked at, for one concept, by some judges."""

    arms: tuple[Arm, ...]
    concept: Concept
    judges: Judges

    @property
    def model(self) -> TextToImage:
        """The one in question, whose time is taken for an estimate."""
        return next(arm.model for arm in self.arms if arm.role == "edit")


def case_of(
    model: Source,
    edit: EditSource | None = None,
    concept: ConceptSource | None = None,
    *,
    base: Source | None = None,
    oracle: Oracle = "auto",
    rivals: Rivals = (),
    judge: JudgeSource | None = None,
) -> Case:
    """The arguments of `excise.evaluate`, read and checked.

    What there is to know of concepts, judges and oracles is asked of the unedited model: whoever
    made the model in question may not have known it, and is not to choose their own judge. A folder
    that does not say how it is drawn is drawn as the unedited model is.

    Raises:
        MissingJudge, WrongBase, UnknownName, BadFile, BadConcept: as they say.
    """
    live = load(model)
    knows = live if base is None or edit is not None else load(base)
    target = concept_for(knows, edit, concept)
    if knows is not live and isinstance(live, DiffusionModel) and "steps" not in live.notes:
        live = live.drawn_as(knows.defaults)
    arms = arms_of(
        live, edit, target, base=None if knows is live else knows, oracle=oracle, rivals=rivals
    )
    try:
        judges = judges_for(knows if brings_one(knows) else live, (target,), judge)
    except MissingJudge as error:
        if knows is not live or edit is not None:
            raise
        raise MissingJudge(f"{error}; or name the unedited model, if it has one: --base") from error
    return Case(arms=arms, concept=target, judges=judges)


def criteria_of(floor: float | None) -> Criteria:
    """What is asked of an edit, with the floor that somebody states. Raises BadSetting."""
    if floor is not None and not 0 <= floor <= 1:
        raise BadSetting(f"expected a floor in [0, 1], a share of pictures, got {floor}")
    return Criteria(floor=floor)


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
    found: Source | None = oracle
    if isinstance(oracle, str) and oracle == "auto":
        found = _oracle(arms[0].model, concept)
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
    unedited = arms[0].model
    named = rivals.items() if isinstance(rivals, Mapping) else [(None, one) for one in rivals]
    for i, (label, source) in enumerate(named):
        rival: Edit = edit_of(source)
        rival.check(unedited)
        title = label or rival.recipe.method.replace("_", " ")
        arms.append(
            Arm(key=f"rival-{i + 1}", label=title, role="rival", model=unedited, edit=rival)
        )
    return tuple(arms)


def _oracle(model: TextToImage, concept: Concept) -> str | None:
    """The embedded model that was trained like this one, without the concept."""
    for name in embedded():
        if name.startswith(f"{model.name}/") and (ASSETS / name / NOTES).exists():
            notes = read_json(ASSETS / name / NOTES)
            if isinstance(notes, dict) and concept.name in notes.get("without", ()):
                return name
    return None
