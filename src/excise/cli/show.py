"""Results as lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from excise.reporting.wording import NARROW, listed
from excise.reporting.wording import size as size_of

if TYPE_CHECKING:
    from excise.cli.session import Session
    from excise.reporting import Report


def plain(text: str) -> str:
    """With a space that every terminal has."""
    return text.replace(NARROW, " ")


def size(value: int) -> str:
    """Bytes as "1.2 MB"."""
    return plain(size_of(value))


def quoted(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    return listed([f'"{name}"' for name in names])


def show_report(run: Session, report: Report, folder: Path | None) -> None:
    """The short table, unless nobody wants it, and the answer."""
    if not run.as_json and not run.quiet:
        from excise.reporting.console import show

        show(report, run.console, None if folder is None else folder / "report.html")
    run.answer(report.to_json())
