"""The program: its commands, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from excise import __version__
from excise.cli import listing, making, probing, using
from excise.cli.session import STOPPED

ABOUT = (
    "Remove a concept from a text-to-image model, attack the result, and say what it cost. "
    "Exit codes: 0 done, 2 a mistake in what was asked, 3 no strength does it, 130 Ctrl-C, "
    "1 anything else."
)


class Program(TyperGroup):
    """The commands, whose mistakes of usage end as all others do: with one line, and 2."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run, and leave with the exit code, unless ``standalone_mode`` is false."""
        if not options.get("standalone_mode", True):
            return super().main(*args, **options)
        options["standalone_mode"] = False  # then mistakes are raised
        try:
            code = super().main(*args, **options)
        except typer.Abort:
            code = STOPPED
        except Exception as error:
            if not hasattr(error, "format_message"):  # by which the parser's own are known
                raise
            code = _misused(error)
        sys.exit(code if isinstance(code, int) else 0)

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the command line."""
        with _stoppable():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _stoppable():
            return super().invoke(ctx)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C where a session has not begun, or has ended."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        raise typer.Exit(STOPPED) from None


def _misused(error: Any) -> int:
    """Say what is wrong with the command line; the exit code."""
    place = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # nothing was said, so say what could be
        typer.echo(place.get_help() if place else "", err=True)
        return int(error.exit_code)
    said = " ".join(error.format_message().split()).rstrip(".")
    command = place.command_path if place else "excise"
    sys.stderr.write(f"excise: {said}; {command} --help says what it takes\n")
    return int(error.exit_code)


app = typer.Typer(
    name="excise",
    cls=Program,
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
    probing.attack,
    probing.evaluate,
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
        sys.stderr.write("Stopped.\n")
        sys.exit(STOPPED)
