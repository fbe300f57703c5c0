"""The terminal kept for Excise: what other libraries write goes nowhere."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

DEBUG = "EXCISE_DEBUG"  # set to 1, everything is shown, with tracebacks

# Said before they are imported, for what they decide then.
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def debugging() -> bool:
    """Has the user asked to see everything?"""
    return os.environ.get(DEBUG, "") not in ("", "0")


@contextmanager
def private() -> Iterator[tuple[TextIO, TextIO]]:
    """Streams to where stdout and stderr led; until the end both lead nowhere for all others.

    For all others means for C libraries, too: the descriptors themselves are redirected. They are
    put back at the end.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if debugging():
        yield sys.stdout, sys.stderr
    elif _descriptor(sys.stdout) == 1 and _descriptor(sys.stderr) == 2:
        with _by_descriptor() as streams:
            yield streams
    else:  # streams that a caller has put in their place, such as a test's
        out, err = sys.stdout, sys.stderr
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            yield out, err


@contextmanager
def _by_descriptor() -> Iterator[tuple[TextIO, TextIO]]:
    _flush()
    saved = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    out, err = _stream(saved[0], sys.stdout.encoding), _stream(saved[1], sys.stderr.encoding)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield out, err
    finally:
        _flush()
        for stream, fd, own in ((out, 1, saved[0]), (err, 2, saved[1])):
            with contextlib.suppress(OSError, ValueError):  # a reader that has gone away
                stream.close()
            os.dup2(own, fd)
            os.close(own)
        os.close(nowhere)


def _stream(descriptor: int, encoding: str) -> TextIO:
    # Where a letter is missing, a question mark takes its place; the descriptor is closed apart.
    return os.fdopen(descriptor, "w", 1, encoding, errors="replace", closefd=False)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _flush() -> None:
    """Python's buffers and C's, so that nothing of theirs comes out later."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)
