"""How long work says where it stands. A library does not print: it calls a `Progress`.

Stages nest: `start` opens one inside the one that is open, `end` closes the innermost. Use `stage`,
which closes also after an exception.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TextIO, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


@runtime_checkable
class Progress(Protocol):
    """What a caller may pass to be told how work goes on."""

    def start(self, stage: str, total: int | None = None, unit: str = "step") -> None:
        """Open a stage of `total` units, or of an unknown number."""

    def advance(self, n: int = 1) -> None:
        """`n` more units of the innermost open stage are done."""

    def note(self, text: str) -> None:
        """One line worth reading: a choice that was made, a figure that was found."""

    def end(self) -> None:
        """Close the innermost open stage."""


@dataclass(frozen=True)
class Silent:
    """Says nothing."""

    def start(self, stage: str, total: int | None = None, unit: str = "step") -> None:
        """Say nothing."""

    def advance(self, n: int = 1) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


SILENT: Progress = Silent()


@contextmanager
def stage(
    progress: Progress, name: str, total: int | None = None, unit: str = "step"
) -> Iterator[Progress]:
    """Open a stage for the length of a ``with`` block."""
    progress.start(name, total, unit)
    try:
        yield progress
    finally:
        progress.end()


class RichProgress:
    """Bars on a terminal, one for each open stage; a context manager.

    console: where to draw; its stream should be the error stream, so that results can be piped.
    """

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,  # what others print is theirs to place, or to lose
            redirect_stderr=False,
        )
        self._open: list[TaskID] = []

    def __enter__(self) -> Self:
        """Start to draw."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bars away and leave the terminal as it was."""
        self._bars.stop()

    def start(self, stage: str, total: int | None = None, unit: str = "step") -> None:
        """Add a bar."""
        self._open.append(self._bars.add_task(stage, total=total, unit=_plural(unit)))

    def advance(self, n: int = 1) -> None:
        """Move the innermost bar."""
        if self._open:
            self._bars.advance(self._open[-1], n)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """Take the innermost bar away."""
        if self._open:
            self._bars.remove_task(self._open.pop())


@dataclass
class _Stage:
    name: str
    total: int | None
    unit: str
    began: float
    done: int = 0


class PlainProgress:
    """Plain lines for a stream that is no terminal: at most one every `every` seconds.

    A stage that takes less than that leaves no line; notes are always written.
    """

    def __init__(
        self, stream: TextIO, every: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._every = every
        self._clock = clock
        self._open: list[_Stage] = []
        self._last = clock()

    def __enter__(self) -> Self:
        """Do nothing: there is no terminal to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do nothing."""

    def start(self, stage: str, total: int | None = None, unit: str = "step") -> None:
        """Open a stage."""
        self._open.append(_Stage(stage, total, unit, self._clock()))

    def advance(self, n: int = 1) -> None:
        """Count, and write a line if the last one is old enough."""
        if not self._open:
            return
        now = self._clock()
        inner = self._open[-1]
        inner.done += n
        if now - self._last >= self._every:
            self._last = now
            self._write(_line(inner, now, " > ".join(s.name for s in self._open)))

    def note(self, text: str) -> None:
        """Write a line."""
        self._write(text)

    def end(self) -> None:
        """Close the innermost stage; say so if it took long enough to matter."""
        if not self._open:
            return
        now = self._clock()
        inner = self._open.pop()
        if now - inner.began >= self._every:
            self._last = now
            self._write(f"{inner.name}: done in {_clock_text(now - inner.began)}")

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def for_stream(stream: TextIO) -> RichProgress | PlainProgress:
    """Bars if `stream` is a terminal that can draw them, else plain lines."""
    console = Console(file=stream)
    return RichProgress(console) if console.is_interactive else PlainProgress(stream)


def _line(inner: _Stage, now: float, path: str) -> str:
    if inner.total is None:
        return f"{path}: {inner.done} {_plural(inner.unit)}"
    left = (now - inner.began) / max(inner.done, 1) * max(inner.total - inner.done, 0)
    count = f"{inner.done}/{inner.total} {_plural(inner.unit)}"
    return f"{path}: {count}, about {_clock_text(left)} left"


def _plural(unit: str) -> str:
    if unit.endswith("s"):
        return unit
    return unit + ("es" if unit.endswith(("ch", "sh", "x")) else "s")


def _clock_text(seconds: float) -> str:
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds_left:02d}" if hours else f"{minutes}:{seconds_left:02d}"
