"""Commands that look at a model: attack, evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from excise.cli import options as o
from excise.cli.inputs import asked_models, said, target_of
from excise.cli.session import session, show_report
from excise.errors import BadSetting
from excise.settings import split

Word = Annotated[
    str | None,
    typer.Argument(metavar="[CONCEPT]", help="A word or a concept.toml; else that of the edit."),
]


def attack(
    concept: Word = None,
    model: o.Model = o.EMOJI,
    edit: o.Edit = None,
    base: o.Base = None,
    oracle: o.Oracle = "auto",
    rival: o.Rival = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One attack only (excise list attacks); repeat."),
    ] = None,
    set_: o.Set = None,
    budget: o.Spend = o.Budget.standard,
    seed: o.Seed = 0,
    out: o.Out = None,
    found: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the inputs that were found; they bring it back."),
    ] = None,
    judge: o.Judge = None,
    floor: o.Floor = None,
    synonym: o.Synonym = None,
    neighbour: o.Neighbour = None,
    images: o.Images = None,
    kind: o.ConceptKind = None,
    unsafe: o.Unsafe = False,
    dry_run: o.DryRun = False,
    device: o.Place = None,
    dtype: o.Dtype = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Search a model for what brings a concept back, with every attack or some.

    With --edit, the model is the unedited one; without it, the model in question as it is. --out
    FOLDER writes a report.
    """
    keeps = out is not None and not dry_run
    with session(as_json=as_json, quiet=quiet, threads=threads, resumes=keeps) as run:
        from excise import api

        settings = _settings(method, split(set_ or ()))
        live, knows = asked_models(model, base, edit, device, dtype)
        target = target_of(knows, concept, said(synonym, neighbour, images, kind, unsafe))
        other: Any = None if oracle == "none" else oracle
        if dry_run:
            from excise.cli.dry import show_plan, stages_of

            plan = api.estimate_attack(
                live, edit, target, methods=method or (), settings=settings, base=knows,
                oracle=other, rivals=rival or (), judge=judge, budget=budget.value, seed=seed,
            )  # fmt: skip
            show_plan(run, stages_of(plan))
            return
        report = api.attack(
            live,
            edit,
            target,
            methods=method or (),
            settings=settings,
            base=knows,
            oracle=other,
            rivals=rival or (),
            judge=judge,
            floor=floor,
            budget=budget.value,
            seed=seed,
            out=out,
            found=found,
            progress=run.progress,
        )
        show_report(run, report, out)
        if found is not None:
            run.say(f"What was found, which brings it back: {found}")


def evaluate(
    concept: Word = None,
    model: o.Model = o.EMOJI,
    edit: o.Edit = None,
    base: o.Base = None,
    oracle: o.Oracle = "auto",
    rival: o.Rival = None,
    budget: o.Spend = o.Budget.standard,
    seed: o.Seed = 0,
    out: o.Out = Path("out"),
    judge: o.Judge = None,
    features: o.Features = None,
    clip: o.Clip = None,
    floor: o.Floor = None,
    synonym: o.Synonym = None,
    neighbour: o.Neighbour = None,
    images: o.Images = None,
    kind: o.ConceptKind = None,
    unsafe: o.Unsafe = False,
    dry_run: o.DryRun = False,
    device: o.Place = None,
    dtype: o.Dtype = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Attack an edited model, say what was kept, and write a report.

    With --edit, the model is the unedited one; without it, the model in question as it is.
    """
    with session(as_json=as_json, quiet=quiet, threads=threads, resumes=not dry_run) as run:
        from excise import api

        live, knows = asked_models(model, base, edit, device, dtype)
        target = target_of(knows, concept, said(synonym, neighbour, images, kind, unsafe))
        other: Any = None if oracle == "none" else oracle
        if dry_run:
            from excise.cli.dry import show_plan, stages_of

            plan = api.estimate(
                live, edit, target, base=knows, oracle=other, rivals=rival or (), judge=judge,
                budget=budget.value, seed=seed,
            )  # fmt: skip
            show_plan(run, stages_of(plan))
            return
        goal = out or Path("out")
        report = api.evaluate(
            live,
            edit,
            target,
            base=knows,
            oracle=other,
            rivals=rival or (),
            judge=judge,
            features=features,
            clip=clip,
            floor=floor,
            budget=budget.value,
            seed=seed,
            out=goal,
            progress=run.progress,
        )
        show_report(run, report, goal)


def _settings(
    methods: list[str] | None, given: Mapping[str, object]
) -> dict[str, Mapping[str, object]]:
    """Settings belong to the one attack that is named."""
    if not given:
        return {}
    if methods is None or len(methods) != 1:
        raise BadSetting(
            "expected --set with one attack, whose setting it is, got "
            f"{len(methods or ())}; name it, as in --method concept_inversion --set rung=8"
        )
    return {methods[0]: {name.replace("-", "_"): value for name, value in given.items()}}
