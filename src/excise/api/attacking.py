"""One attack on one model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from excise import registry
from excise.api.concepts import ConceptSource
from excise.api.evaluating import arms_of, concept_for
from excise.api.judging import JudgeSource, judges_for, tried
from excise.api.loading import EditSource, Source, load
from excise.attacks.base import Attack, AttackResult, run_attack
from excise.edit.file import SUFFIX
from excise.errors import BadFile
from excise.method import Budget
from excise.progress import SILENT, Progress
from excise.settings import build, recipe
from excise.store import check_writable
from excise.suite.bench import Bench
from excise.suite.ladder import attacked, prompts_of, seeds_of
from excise.suite.sizes import sizes_of
from excise.types import Concept, Prompt


def attack(
    model: Source,
    edit: EditSource | None = None,
    concept: ConceptSource | None = None,
    *,
    method: str = "concept_inversion",
    settings: Mapping[str, object] | None = None,
    prompts: Sequence[str | Prompt] = (),
    base: Source | None = None,
    judge: JudgeSource | None = None,
    budget: Budget = "standard",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: Progress = SILENT,
) -> AttackResult:
    """Search a model for inputs that bring a concept back, and score them on seeds of their own.

    model, edit, base, concept: as `evaluate`. prompts: left out, the concept's own sentences.
    out: a ``.safetensors`` file for the values and the inputs that were found; these bring the
        concept back.

    Raises:
        UnknownName, BadSetting, MissingJudge, BadConcept: as they say.
    """
    goal = None if out is None else attack_file(out)
    model = load(model)
    target = concept_for(model, edit, concept)
    arms = {arm.key: arm for arm in arms_of(model, edit, target, base=base, oracle=None)}
    bench = Bench(
        arms=arms,
        concept=target,
        judge=tried(judges_for(model, (target,), judge).first, model, (target,)),
        sizes=sizes_of(budget),
        seed=seed,
        progress=progress,
    )
    cls: type[Attack] = registry.get("attack", method)
    ready = cls.fitted(bench.plain).at(budget)
    own: Attack = build(cls, {**recipe(ready), **_plain(settings)})
    subject: Concept = bench.full
    if "pictures" in own.needs:
        subject, _ = attacked(bench)
        if "share" in own.__dataclass_fields__:
            share = "all" if bench.full.pictures is None else "attack"
            own = build(cls, {**recipe(own), "share": share})
    select, score = seeds_of(bench)
    arm = arms["edit"]
    role = bench.role("base")
    unedited = None if role is None else role.model
    if "base" in own.needs and unedited is arm.model and arm.edit is not None:
        unedited = arm.model.copied()  # both are asked at the same time
    with arm.live() as live:
        found = run_attack(
            own,
            live,
            subject,
            tuple(prompts) or prompts_of(bench),
            bench.judge,
            select_seeds=select,
            score_seeds=score,
            base=unedited,
            seed=seed,
            progress=progress,
        )
    if goal is not None:
        found.save(goal)
    return found


def attack_file(out: str | os.PathLike[str]) -> Path:
    """Where the result goes. Raises BadFile."""
    goal = Path(out)
    if goal.suffix != SUFFIX:
        raise BadFile(
            f"expected a name that ends in {SUFFIX} for what an attack finds, got "
            f"{os.fspath(out)!r}; write, say, --out found{SUFFIX}"
        )
    check_writable(goal)
    return goal


def _plain(settings: Mapping[str, object] | None) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in (settings or {}).items()}
