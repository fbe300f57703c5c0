"""Commands that use what there is: generate, apply, merge, info, report, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from excise.cli import options as o
from excise.cli.inputs import load_model
from excise.cli.session import session

EditFile = Annotated[Path, typer.Argument(metavar="EDIT", help="NAME.safetensors.")]
Transfer = Annotated[
    bool, typer.Option(help="Accept a fine-tune of the model that the edit was made for.")
]


def generate(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT", help="What to draw.")],
    model: o.Model = o.EMOJI,
    edit: o.Edit = None,
    seed: o.Seed = 0,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Pictures a prompt.")] = 1,
    negative: Annotated[str | None, typer.Option(help="What to stay away from.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="How closely to follow.")] = None,
    out: o.Out = Path("pictures"),
    device: o.Place = None,
    dtype: o.Dtype = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Draw pictures, with an edit or without; --out is a folder, or a .png for one sheet.

    Every prompt is drawn on the seeds --seed, --seed + 1, ...
    """
    with session(as_json=as_json, quiet=quiet, threads=threads) as run:
        from excise import api

        live = load_model(model, device, dtype)
        texts = [text for text in prompts for _ in range(number)]
        seeds = [seed + i for _ in prompts for i in range(number)]
        goal = out or Path("pictures")
        samples = api.generate(
            live,
            texts,
            edit=edit,
            seeds=seeds,
            negative=negative,
            steps=steps,
            guidance=guidance,
            out=goal,
        )
        run.say(f"{len(samples)} pictures: {goal}")
        request = samples.request
        run.answer({
            "out": str(goal),
            "pictures": [{"prompt": t, "seed": s} for t, s in zip(texts, seeds, strict=True)],
            "steps": request.steps,
            "guidance": request.guidance,
            "digest": samples.digest,
        })  # fmt: skip


def apply(
    edit: EditFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder.")],
    model: o.Model = o.EMOJI,
    transfer: Transfer = False,
    device: o.Place = None,
    dtype: o.Dtype = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Write the whole model with the edit in its weights, for diffusers to load."""
    with session(as_json=as_json, quiet=quiet, threads=threads) as run:
        from excise import api

        goal = api.apply(load_model(model, device, dtype), edit, out, transfer=transfer)
        run.say(f"The edited model: {goal}")
        run.answer({"out": str(goal)})


def export(
    edit: EditFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="NAME.safetensors.")],
    model: o.Model = o.EMOJI,
    transfer: Transfer = False,
    device: o.Place = None,
    dtype: o.Dtype = None,
    threads: o.Threads = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Write the weights that the edit changes, edited, and no others."""
    with session(as_json=as_json, quiet=quiet, threads=threads) as run:
        from excise import api

        goal = api.export(load_model(model, device, dtype), edit, out, transfer=transfer)
        run.say(f"The edited weights: {goal}")
        run.answer({"out": str(goal)})


def merge(
    edits: Annotated[list[Path], typer.Argument(metavar="EDIT", help="Edits of one model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="NAME.safetensors.")],
    weight: Annotated[
        list[float] | None, typer.Option("--weight", help="One for each edit, in their order.")
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Make one edit of several: their sum, each times its weight."""
    with session(as_json=as_json, quiet=quiet) as run:
        from excise import api
        from excise.cli.show import quoted, size

        edit = api.merge(edits, weights=weight, out=out)
        names = quoted(edit.recipe.concept_names)
        run.say(f"An edit for {names or 'no concept'}: {out} ({size(edit.nbytes)}, not verified)")
        run.answer({"edit": str(out), "digest": edit.digest, "bytes": edit.nbytes})


def info(
    path: Annotated[str, typer.Argument(help="An edit, a report's folder, a model.")],
    as_json: o.AsJson = False,
) -> None:
    """Say what a file or a folder is."""
    with session(as_json=as_json, quiet=True) as run:
        from excise import api

        found = api.info(path)
        if not as_json:
            from rich.table import Table
            from rich.text import Text

            table = Table.grid(padding=(0, 2))
            for name, value in _flat(found):
                table.add_row(Text(name, style="bold"), Text(value, overflow="fold"))
            run.console.print(table)
        run.answer(found)


def report(
    path: Annotated[Path, typer.Argument(help="A report's folder, or its report.json.")],
    out: o.Out = None,
    threshold: Annotated[
        float | None, typer.Option(help="Move the judge's threshold, and say so.")
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Show a report, and write it again to --out."""
    with session(as_json=as_json, quiet=quiet) as run:
        from excise import api
        from excise.reporting.console import show

        found = api.report(path, threshold=threshold, out=out)
        if not as_json and not quiet:
            folder = out or (path if path.is_dir() else path.parent)
            # Moved, and not written anywhere: then no page shows what the table does.
            shown = None if threshold is not None and out is None else folder / "report.html"
            show(found, run.console, shown)
        run.answer(found.to_json())


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Names and texts of nested JSON; lists of simple values on one line."""
    if isinstance(value, dict) and value:
        return [
            pair
            for name, part in value.items()
            for pair in _flat(part, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        return [pair for i, part in enumerate(value) for pair in _flat(part, f"{path}[{i}]")]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return [(path, text if value not in (None, {}, [], "") else "–")]
