"""Results as lines."""

from __future__ import annotations

from collections.abc import Sequence

from excise.reporting.wording import NARROW, listed
from excise.reporting.wording import size as size_of


def plain(text: str) -> str:
    """With a space that every terminal has."""
    return text.replace(NARROW, " ")


def size(value: int) -> str:
    """Bytes as "1.2 MB"."""
    return plain(size_of(value))


def quoted(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    return listed([f'"{name}"' for name in names])
