"""What checks look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from excise.primitives.probe import Look
from excise.reporting.record import Record
from excise.reporting.subject import Check
from excise.suite.battery import Battery
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.history import History
from excise.suite.pull import Pull


@dataclass(frozen=True, kw_only=True)
class Sets:
    """SHA-256 of the pictures that were used: the attacker's, and those that losses are from."""

    attacker: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """An evaluation, all but its checks.

    record: the report. kept: by arm, the pictures of what has to stay; empty if they were not
    drawn. battery: None if no attack was run. pull: how the edit pulls under guidance; None if
    there was nothing to measure it by. whole: False if only attacks were asked for.
    """

    bench: Bench
    book: Book
    record: Record
    history: History = field(default_factory=History)
    sets: Sets = field(default_factory=Sets)
    kept: Mapping[str, Look] = field(default_factory=dict)
    battery: Battery | None = None
    pull: Pull | None = None
    whole: bool = True

    def label(self, arm: str) -> str:
        """An arm's, in quotation marks."""
        return f"“{self.bench.arms[arm].label}”"


Looks = Callable[[Evidence], Iterator[Check]]
"""A check: what it raises."""
