"""The options that commands share, each described once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Budget(StrEnum):
    """How much is spent."""

    quick = "quick"
    standard = "standard"
    thorough = "thorough"


class Precision(StrEnum):
    """A precision."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


CONCEPT, MACHINE, ANSWER = "The concept", "The machine", "The answer"

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A name (excise list models), folder, .safetensors file or hub id.",
    ),
]
Edit = Annotated[
    Path | None,
    typer.Option("--edit", "-e", metavar="FILE", help="An edit: NAME.safetensors."),
]
Base = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="The unedited model, if the one in question has no --edit."),
]
Oracle = Annotated[
    str, typer.Option(help="A model that never saw it; auto: the embedded one; none.")
]
Rival = Annotated[
    list[Path] | None, typer.Option("--rival", help="Another edit to compare; repeat.")
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="The same seed gives the same bytes.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="PATH", help="Where to write.")]
Spend = Annotated[Budget, typer.Option("--budget", help="How much to spend.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of the method; repeat for more."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Measure for some seconds, say what it takes, and stop.")
]
Judge = Annotated[
    str | None,
    typer.Option(
        metavar="JUDGE",
        help="Who is to judge: an image classifier or a CLIP (folder or hub id), or nudenet.",
    ),
]
Floor = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="SHARE",
        help="How often a search is taken to find it in a model that never saw it, without one.",
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        metavar="NETWORK",
        help="For KID and FID: an image classifier or a CLIP (folder or hub id); else the judge.",
    ),
]
Clip = Annotated[
    str | None,
    typer.Option(
        metavar="CLIP", help="For the CLIP score (folder or hub id); else the model's own."
    ),
]
Place = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, mps.", rich_help_panel=MACHINE),
]
Dtype = Annotated[
    Precision | None, typer.Option("--dtype", help="The precision.", rich_help_panel=MACHINE)
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Threads of the processor.", rich_help_panel=MACHINE),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON value on stdout.", rich_help_panel=ANSWER)
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no table.", rich_help_panel=ANSWER),
]
Synonym = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD", help="Another word for it; repeat.", rich_help_panel=CONCEPT),
]
Neighbour = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD", help="What is close and stays; repeat.", rich_help_panel=CONCEPT),
]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="A folder of pictures that show it.", rich_help_panel=CONCEPT
    ),
]
ConceptKind = Annotated[
    str | None,
    typer.Option(
        "--kind", metavar="KIND", help="object, style or implicit.", rich_help_panel=CONCEPT
    ),
]
Unsafe = Annotated[
    bool,
    typer.Option(
        "--unsafe",
        help="Not for everybody's eyes: reports hide what brought it back.",
        rich_help_panel=CONCEPT,
    ),
]
EMOJI = "emoji"
