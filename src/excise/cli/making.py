"""Commands that make an edit: erase, and demo, which evaluates it too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from excise.cli import options as o
from excise.cli.inputs import check_seen, concepts_of, file_name, load_model, said, unseen
from excise.cli.session import Session, session, show_report
from excise.errors import Infeasible
from excise.settings import split

if TYPE_CHECKING:
    from excise.edit import Edit
    from excise.types import TextToImage

Words = Annotated[
    list[str], typer.Argument(metavar="CONCEPT", help="Words (excise list concepts), .toml.")
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
    unsafe: o.Unsafe = False,
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
    with session(as_json=as_json, quiet=quiet, threads=threads, resumes=not dry_run) as run:
        from excise import api

        settings = split(set_ or ())
        live = load_model(model, device, dtype)
        wanted = concepts_of(live, concepts, said(synonym, neighbour, images, kind, unsafe))
        if images is not None:
            check_seen(method, wanted)
        if dry_run:
            from excise.cli.dry import show_plan
            from excise.cli.stages import erase_plan

            known = api.concepts.concepts_of(live, wanted)
            eraser = api.erasing.eraser_of(
                live, method, settings, budget.value, strength, search, known
            )
            show_plan(run, erase_plan(live, eraser, known))
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
    with session(as_json=as_json, quiet=quiet, threads=threads, resumes=not dry_run) as run:
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
        show_report(run, report, folder)
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
    if shown := unseen(method := edit.recipe.method, edit.recipe.concepts):
        run.say(f"{method} goes by words: the pictures of {quoted(shown)} were not used")
    if record_folder(goal).exists():
        run.say(f"Keep apart what brings it back: {record_folder(goal)}")
