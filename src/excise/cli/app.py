"""The program: its commands, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from excise import __version__
from excise.cli import listing, making, using
from excise.cli.session import STOPPED

ABOUT = (
    "Remove a concept from a text-to-image model, attack the result, and say what it cost. "
    "Exit codes: 0 done, 2 a mistake in what was asked, 3 no strength does it, 1 anything else."
)

app = typer.Typer(
    name="excise",
    help=ABOUT,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"excise {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


for command in (
    making.demo,
    making.erase,
    making.attack,
    making.evaluate,
    using.generate,
    using.apply,
    using.merge,
    using.info,
    listing.list_names,
    using.report,
    using.export,
):
    app.command(name=command.__name__.removesuffix("_names"))(command)


def run() -> None:
    """Run it, and leave with its exit code."""
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun
        sys.exit(STOPPED)
