from __future__ import annotations

import io

import pytest
from rich.console import Console

from excise.progress import (
    SILENT,
    PlainProgress,
    Progress,
    RichProgress,
    Silent,
    for_stream,
    stage,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def plain(every: float = 5.0) -> tuple[PlainProgress, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return PlainProgress(stream, every, clock), stream, clock


def work(progress: Progress) -> None:
    with stage(progress, "outer", 2, "round"), stage(progress, "inner", 10):
        progress.advance(3)
        progress.note("loss [0.1] is 0.5")


@pytest.mark.parametrize(
    "progress",
    [SILENT, PlainProgress(io.StringIO()), RichProgress(Console(file=io.StringIO()))],
    ids=lambda p: type(p).__name__,
)
def test_every_renderer_takes_every_call(progress: Progress) -> None:
    assert isinstance(progress, Progress)
    work(progress)
    progress.advance()  # with nothing open: a renderer must not break the work
    progress.end()


def test_plain_lines_are_few() -> None:
    progress, stream, clock = plain()
    with stage(progress, "fine-tune", 100):
        for _ in range(100):
            clock.now += 0.2
            progress.advance()
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 20 / 5 + 1
    assert lines[0] == "fine-tune: 25/100 steps, about 0:15 left"
    assert lines[-1] == "fine-tune: done in 0:20"


def test_plain_lines_name_the_open_stages() -> None:
    progress, stream, clock = plain()
    with stage(progress, "erase"), stage(progress, "search", None, "picture"):
        clock.now = 3700
        progress.advance(7)
    assert stream.getvalue().splitlines()[0] == "erase > search: 7 pictures"
    assert "done in 1:01:40" in stream.getvalue()


def test_short_stages_leave_no_line_and_notes_always_do() -> None:
    progress, stream, _ = plain()
    work(progress)
    assert stream.getvalue() == "loss [0.1] is 0.5\n"


def test_a_stage_closes_after_an_exception() -> None:
    progress, stream, clock = plain()
    with pytest.raises(RuntimeError), stage(progress, "outer"), stage(progress, "inner"):
        raise RuntimeError
    with stage(progress, "next"):
        clock.now = 6
        progress.advance()
    assert stream.getvalue().startswith("next: 1 steps")


def test_bars_are_drawn_on_a_terminal_and_taken_away() -> None:
    stream = io.StringIO()
    with RichProgress(Console(file=stream, force_terminal=True, width=100)) as progress:
        work(progress)
    assert "loss [0.1] is 0.5" in stream.getvalue()  # no markup is read from a note
    assert isinstance(for_stream(io.StringIO()), PlainProgress)


def test_silence_is_a_value() -> None:
    assert Silent() == SILENT
