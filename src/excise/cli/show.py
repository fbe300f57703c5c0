"""Results as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from excise.reporting.figures import Rate
from excise.reporting.wording import NARROW, between, listed, number, percent, seconds
from excise.reporting.wording import size as size_of
from excise.stats import rate_interval

if TYPE_CHECKING:
    from excise.attacks.result import AttackResult


def plain(text: str) -> str:
    """With a space that every terminal has."""
    return text.replace(NARROW, " ")


def size(value: int) -> str:
    """Bytes as "1.2 MB"."""
    return plain(size_of(value))


def quoted(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    return listed([f'"{name}"' for name in names])


def attack_lines(found: AttackResult) -> list[str]:
    """What an attack reached, and what it spent."""
    values = found.observations()
    n, hits = len(values.values), round(float(values.values.sum()))
    several = values.fewest_levels > 1
    rate = Rate.within(rate_interval(values), n, hits) if several else Rate.of(hits, n)
    spent = found.searched + found.drawn
    lines = [
        f'{found.attack} brings "{found.concept}" back in {percent(rate.value)} of pictures '
        f"({between(rate)}): {hits} of {n}, the best of {number(len(found))} restarts.",
        f"Spent: {number(spent.gradients)} gradients, {number(spent.pictures)} pictures, "
        f"{seconds(spent.seconds)}.",
        "By itself this does not tell recovery from injection: excise evaluate puts the unedited "
        "model, the null attack and an oracle beside it.",
    ]
    return [plain(line) for line in lines]
