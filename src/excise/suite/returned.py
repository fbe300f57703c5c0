"""Attacks in the table of scores, and what the rungs of the ladder are called."""

from __future__ import annotations

from excise.attacks.result import AttackResult
from excise.suite.book import Book
from excise.types import Score


def enter(book: Book, group: str, arm: str, result: AttackResult) -> None:
    """What the chosen inputs drew on the score seeds, for the table of scores."""
    values = result.chosen_values  # (P, T)
    texts = [text for text in result.prompts for _ in result.score_seeds]
    seeds = [seed for _ in result.prompts for seed in result.score_seeds]
    score = Score(
        concept=result.concept,
        judge=result.judge,
        values=values.reshape(-1),
        threshold=result.threshold,
    )
    book.enter(group, arm, score, prompts=texts, seeds=seeds)


def key_of(rung: object) -> str:
    """A rung's key in the report."""
    return f"t{rung}" if isinstance(rung, int) else str(rung)


def label_of(rung: object) -> str:
    """What a rung is called."""
    if isinstance(rung, int):
        return f"{rung} soft word{'s' if rung > 1 else ''}"
    return {"condition": "the whole conditioning"}.get(str(rung), "a conditioning for each step")
