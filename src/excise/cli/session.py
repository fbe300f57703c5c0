"""What every command shares: its streams, its progress, its errors and its exit code."""

from __future__ import annotations

import json
import os
import signal
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import typer

from excise.cli.terminal import debugging, private
from excise.errors import ExciseError, Infeasible

if TYPE_CHECKING:
    from rich.console import Console

    from excise.progress import Progress
    from excise.reporting import Report

STOPPED = 130  # as a shell has it: 128 + SIGINT
ENDED = "Stopped.\n"
GOES_ON = "Stopped. Finished stages are kept: the same command goes on.\n"


@dataclass
class Session:
    """One run of a command.

    as_json: one JSON value goes to stdout, and nothing else. quiet: no progress, no table.
    """

    out: TextIO
    err: TextIO
    as_json: bool
    quiet: bool
    progress: Progress
    answered: bool = field(default=False, init=False)

    @property
    def console(self) -> Console:
        """Where results go that people read."""
        from rich.console import Console

        return Console(file=self.out, highlight=False, soft_wrap=False)

    def say(self, *lines: str) -> None:
        """Lines for people; nothing if JSON was asked for, or quiet."""
        if not self.as_json and not self.quiet:
            for line in lines:
                self.out.write(line + "\n")

    def answer(self, value: Any) -> None:
        """The one JSON value, if it was asked for."""
        if self.as_json:
            text = json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False, default=str)
            self.out.write(text + "\n")
            self.answered = True


@contextmanager
def session(
    *,
    as_json: bool = False,
    quiet: bool = False,
    threads: int | None = None,
    resumes: bool = False,
) -> Iterator[Session]:
    """Run a command: with streams of its own, and errors as one line and an exit code.

    resumes: it keeps stages, from which it goes on after Ctrl-C, and says so.

    Raises:
        typer.Exit: with the exit code of what went wrong.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    with interrupts() as asked, private() as (out, err):
        run = Session(out, err, as_json, quiet, _silent())
        try:
            try:
                if threads is not None:
                    _limit(threads)
                with _progress(err, quiet) as run.progress:
                    yield run
            except BrokenPipeError:
                raise  # the reader of our output has seen enough
            except (Exception, KeyboardInterrupt) as error:
                if asked or isinstance(error, KeyboardInterrupt):
                    err.write(GOES_ON if resumes else ENDED)
                    raise typer.Exit(STOPPED) from None
                raise typer.Exit(_explain(run, error)) from None
            out.flush()
        except BrokenPipeError:
            raise typer.Exit(1) from None


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Remember that Ctrl-C was pressed: the list is not empty then.

    Libraries that are being imported may turn the KeyboardInterrupt into an error of their own.
    """
    asked: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours = usual and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield asked
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _explain(run: Session, error: Exception) -> int:
    """Say what went wrong; the exit code."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    code, line = _line(error)
    if line is None or debugging():
        # A mistake of ours, not of the user's: then it is the traceback that helps.
        run.err.write("".join(traceback.format_exception(error)))
    else:
        run.err.write(f"excise: {line}\n")
    if line is None:
        run.err.write("excise: this is a defect of Excise; please report it with the lines above\n")
    if not run.answered:
        kind = type(error).__name__
        found: dict[str, Any] = {"kind": kind, "message": line or str(error), "exit_code": code}
        if isinstance(error, Infeasible):
            found["details"] = _plain(error.details)
        run.answer({"error": found})
    return code


def _line(error: Exception) -> tuple[int, str | None]:
    """The exit code and one line; no line for what should not have happened."""
    if isinstance(error, ExciseError):
        return error.exit_code, str(error)
    kind = type(error).__name__
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":
        return 1, "out of memory; close other programs, or try --budget quick or --dtype bfloat16"
    if isinstance(error, OSError):
        name = f" {error.filename}" if error.filename else ""
        said = error.strerror or str(error) or kind
        line = f"the system refused{name}: {said}; free space, or choose another place with --out"
        return 1, line
    return 1, None


def _plain(details: Mapping[str, object]) -> dict[str, Any]:
    """What of the details is JSON."""
    found = {}
    for name, value in details.items():
        try:
            found[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            continue
    return found


@contextmanager
def _progress(err: TextIO, quiet: bool) -> Iterator[Progress]:
    if quiet:
        yield _silent()
        return
    from excise.progress import for_stream

    with for_stream(err) as shown:
        yield shown


def _silent() -> Progress:
    from excise.progress import SILENT

    return SILENT


def _limit(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def show_report(run: Session, report: Report, folder: Path | None) -> None:
    """The short table, unless nobody wants it, and the answer."""
    if not run.as_json and not run.quiet:
        from excise.reporting.console import show

        show(report, run.console, None if folder is None else folder / "report.html")
    run.answer(report.to_json())
