"""Commands that take long: demo, erase, attack, evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from excise.cli import options as o
from excise.cli.inputs import Described, concept_of, concepts_of, file_name, load_model
from excise.cli.session import Session, session
from excise.errors import BadConcept, Infeasible
from excise.settings import split

if TYPE_CHECKING:
    from excise.edit import Edit
    from excise.reporting import Report
    from excise.types import Concept, TextToImage

Words = Annotated[
    list[str], typer.Argument(metavar="CONCEPT", help="Words (excise list concepts), .toml.")
]
Word = Annotated[
    str | None,
    typer.Argument(metavar="[CONCEPT]", help="A word or a concept.toml; else that of the edit."),
]


def erase(
    concepts: Words,
    model: o.Model = o.EMOJI,
    method: Annotated[str, typer.Option(help="How (excise list erasers).")] = "task_vector",
    set_: o.Set = None,
    budget: o.Spend = o.Budget.standard,
    seed: o.Seed = 0,
    out: o.Out = None,
    judge: o.Judge = None,
    strength: Annotated[
        float | None, typer.Option(help="How strongly, instead of a search for it.")
    ] = None,
    search: Annotated[
        bool, typer.Option("--search/--no-search", help="Search for the strength.")
    ] = True,
    synonym: o.Synonym = None,
    neighbour: o.Neighbour = None,
    images: o.Images = None,
    kind: o.ConceptKind = None,
    dry_run: o.DryRun = False,
    device: o.Place = None,
    dtype: o.Dtype = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Take concepts out of a model; what is written is an edit, the model stays as it is.

    An interrupted run goes on from what it has finished, to the same bytes.
    """
    with session(as_json=as_json, quiet=quiet, threads=threads) as run:
        from excise import api

        settings = split(set_ or ())
        live = load_model(model, device, dtype)
        wanted = concepts_of(live, concepts, _said(synonym, neighbour, images, kind))
        if dry_run:
            from excise.cli.dry import erase_plan, show_plan

            eraser = api.erasing.eraser_of(live, method, settings, budget.value, strength, search)
            show_plan(run, erase_plan(live, eraser, len(wanted)))
            return
        goal = out or Path(file_name(concepts))
        with _ends_kept(goal):
            edit = api.erase(
                live,
                wanted,
                method=method,
                settings=settings,
                budget=budget.value,
                seed=seed,
                judge=judge,
                strength=strength,
                search=search,
                out=goal,
                progress=run.progress,
            )
        _say_edit(run, edit, goal, live)
        run.answer({"edit": str(goal), **_facts(edit)})


def attack(
    concept: Word = None,
    model: o.Model = o.EMOJI,
    edit: o.Edit = None,
    base: o.Base = None,
    method: Annotated[str, typer.Option(help="How (excise list attacks).")] = "concept_inversion",
    set_: o.Set = None,
    budget: o.Spend = o.Budget.standard,
    seed: o.Seed = 0,
    out: o.Out = None,
    judge: o.Judge = None,
    synonym: o.Synonym = None,
    neighbour: o.Neighbour = None,
    images: o.Images = None,
    kind: o.ConceptKind = None,
    dry_run: o.DryRun = False,
    device: o.Place = None,
    dtype: o.Dtype = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Search for inputs that bring a concept back, and score them on seeds of their own.

    --out NAME.safetensors keeps the inputs that were found; they bring the concept back.
    """
    with session(as_json=as_json, quiet=quiet, threads=threads) as run:
        from excise import api

        settings = split(set_ or ())
        live = load_model(model, device, dtype)
        target = _target(live, concept, _said(synonym, neighbour, images, kind))
        if dry_run:
            from excise.cli.dry import attack_plan, show_plan

            show_plan(run, attack_plan(live, method, settings, budget.value))
            return
        found = api.attack(
            live,
            edit,
            target,
            method=method,
            settings=settings,
            base=base,
            judge=judge,
            budget=budget.value,
            seed=seed,
            out=out,
            progress=run.progress,
        )
        from excise.cli.show import attack_lines

        run.say(*attack_lines(found))
        if out is not None:
            run.say(f"What was found, which brings it back: {out}")
        run.answer(found.to_json() | {"out": None if out is None else str(out)})


def evaluate(
    concept: Word = None,
    model: o.Model = o.EMOJI,
    edit: o.Edit = None,
    base: o.Base = None,
    oracle: Annotated[
        str, typer.Option(help="A model that never saw it; auto: the embedded one; none.")
    ] = "auto",
    rival: Annotated[
        list[Path] | None, typer.Option("--rival", help="Another edit to compare; repeat.")
    ] = None,
    budget: o.Spend = o.Budget.standard,
    seed: o.Seed = 0,
    out: o.Out = Path("out"),
    judge: o.Judge = None,
    synonym: o.Synonym = None,
    neighbour: o.Neighbour = None,
    images: o.Images = None,
    kind: o.ConceptKind = None,
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
    with session(as_json=as_json, quiet=quiet, threads=threads) as run:
        from excise import api

        live = load_model(model, device, dtype)
        target = _target(live, concept, _said(synonym, neighbour, images, kind))
        other: Any = None if oracle == "none" else oracle
        if dry_run:
            from excise.cli.dry import show_plan, stages_of

            plan = api.estimate(
                live, edit, target, base=base, oracle=other, rivals=rival or (), judge=judge,
                budget=budget.value, seed=seed,
            )  # fmt: skip
            show_plan(run, stages_of(plan))
            return
        goal = out or Path("out")
        report = api.evaluate(
            live,
            edit,
            target,
            base=base,
            oracle=other,
            rivals=rival or (),
            judge=judge,
            budget=budget.value,
            seed=seed,
            out=goal,
            progress=run.progress,
        )
        _show_report(run, report, goal)


def demo(
    seed: o.Seed = 0,
    out: o.Out = Path("out"),
    budget: o.Spend = o.Budget.quick,
    dry_run: o.DryRun = False,
    device: o.Place = None,
    dtype: o.Dtype = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Erase "cat" from the embedded model, then evaluate the edit: the whole job, in minutes."""
    with session(as_json=as_json, quiet=quiet, threads=threads) as run:
        from excise import api

        live = load_model(o.EMOJI, device, dtype)
        if dry_run:
            from excise.cli.dry import demo_plan, show_plan

            show_plan(run, demo_plan(live, "cat", budget.value, seed))
            return
        folder = out or Path("out")
        goal = folder / file_name(["cat"])
        failed: Infeasible | None = None
        try:
            with _ends_kept(goal):
                edit = api.erase(
                    live, "cat", budget=budget.value, seed=seed, out=goal, progress=run.progress
                )
            _say_edit(run, edit, goal, live)
        except Infeasible as error:
            failed, goal = error, _nearest(goal, error)
            run.say(f"No strength does it; this is of the one that comes nearest: {goal}")
        report = api.evaluate(
            live, goal, "cat", budget=budget.value, seed=seed, out=folder, progress=run.progress
        )
        _show_report(run, report, folder)
        if failed is not None:
            raise failed


def _nearest(goal: Path, error: Infeasible) -> Path:
    """The edit that comes nearest to both demands. Raises the error where there is none."""
    from excise.edit import record_folder

    found = record_folder(goal) / "nearest.safetensors"
    if not found.exists():
        raise error
    return found


@contextmanager
def _ends_kept(goal: Path) -> Iterator[None]:
    """Where no strength does it, the message says where both ends are."""
    try:
        yield
    except Infeasible as error:
        from excise.edit import record_folder

        place = record_folder(goal)
        where = f"; both ends are kept in {place}" if place.exists() else ""
        raise Infeasible(f"{error}{where}", details=error.details) from error


def _said(
    synonym: list[str] | None, neighbour: list[str] | None, images: Path | None, kind: str | None
) -> Described:
    return Described(synonyms=synonym or (), neighbours=neighbour or (), images=images, kind=kind)


def _target(model: TextToImage, word: str | None, said: Described) -> Concept | str | None:
    if word is None and not said.empty:
        raise BadConcept(
            "expected a concept that --synonym, --neighbour, --images or --kind belong to, got "
            "none; name it, as in excise attack cat --synonym kitten"
        )
    return None if word is None else concept_of(model, word, said)


def _facts(edit: Edit) -> dict[str, Any]:
    return {
        "kind": edit.kind,
        "digest": edit.digest,
        "bytes": edit.nbytes,
        "verified": edit.recipe.verified,
        "recipe": edit.recipe.to_json(),
    }


def _say_edit(run: Session, edit: Edit, goal: Path, model: TextToImage) -> None:
    from excise.cli.show import quoted, size
    from excise.edit import record_folder

    names = quoted(edit.recipe.concept_names)
    sure = "" if edit.recipe.verified else ", not verified"
    run.say(f"Erased {names} from {model.name}: {goal} ({size(edit.nbytes)}{sure})")
    if record_folder(goal).exists():
        run.say(f"Keep apart what brings it back: {record_folder(goal)}")


def _show_report(run: Session, report: Report, folder: Path) -> None:
    if not run.as_json and not run.quiet:
        from excise.reporting.console import show

        show(report, run.console, folder / "report.html")
    run.answer(report.to_json())
