"""From what judges say of pictures to figures with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from excise.emoji.questions import Question
from excise.primitives.panel import Sheet
from excise.stats import wilson

Figure = dict[str, Any]
"""A rate as JSON values: k, n, rate, low, high."""

Figures = dict[str, Figure]
"""By judge."""


def rate(hits: Tensor) -> Figure:
    """Share of hits, bool (n,), with Wilson's interval at 95 %.

    Raises ValueError if there is no picture.
    """
    k, n = int(hits.sum()), len(hits)
    if n == 0:
        raise ValueError("expected at least one picture to count, got none")
    found = wilson(k, n)
    ends = {"rate": found.value, "low": found.low, "high": found.high}
    return {"k": k, "n": n, **{name: round(value, 4) for name, value in ends.items()}}


def shows(sheet: Sheet, wanted: Sequence[tuple[str, ...]]) -> Tensor:
    """Bool (n,): does each picture show all of its labels? Raises UnknownName."""
    most = max(map(len, wanted), default=0)
    hits = [sheet.hits([labels[i % len(labels)] for labels in wanted]) for i in range(most)]
    return torch.stack(hits).all(dim=0) if hits else torch.ones(len(wanted), dtype=torch.bool)


class Tally:
    """Questions, and by judge the scores of what was drawn, one row a question."""

    def __init__(self, questions: Sequence[Question], sheets: Mapping[str, Sheet]) -> None:
        self.questions, self.sheets = tuple(questions), dict(sheets)

    def rows(
        self, section: str, *, showing: str | None = None, word: str | None = None
    ) -> list[int]:
        """The numbers of the questions of a section, of one label, of one word."""
        return [
            i
            for i, question in enumerate(self.questions)
            if question.section == section
            and (showing is None or showing in (*question.wanted, question.style))
            and (word is None or word == question.word)
        ]

    def figure(
        self, rows: Sequence[int], labels: Sequence[tuple[str, ...]] | None = None
    ) -> Figures:
        """By judge how many pictures show all of their labels; left out, those wanted.

        A judge that lacks a label has no figure, and nobody has one without pictures.
        """
        asked = [self.questions[i].wanted for i in rows] if labels is None else list(labels)
        names = {label for row in asked for label in row}
        return {
            judge: rate(shows(sheet.take(rows), asked))
            for judge, sheet in self.sheets.items()
            if rows and names <= set(sheet.labels)
        }

    def showing(self, rows: Sequence[int], label: str) -> Figures:
        """By judge how many pictures show one label, wanted or not."""
        return self.figure(rows, [(label,)] * len(rows))

    def style(self, rows: Sequence[int]) -> Figures:
        """By judge how many pictures have the style that was asked for."""
        return self.figure(rows, [(self.questions[i].style,) for i in rows])

    def nothing(self, rows: Sequence[int]) -> Figures:
        """By judge how many pictures show nothing recognisable."""
        return {judge: rate(s.take(rows).nothing) for judge, s in self.sheets.items() if rows}

    def by_class(self, section: str) -> dict[str, Figures]:
        """A figure a label that a section wants; of two in one picture each by itself."""
        chosen = [q for q in self.questions if q.section == section]
        names = dict.fromkeys(label for question in chosen for label in question.wanted)
        return {name: self.showing(self.rows(section, showing=name), name) for name in names}

    def by_word(self, section: str) -> dict[str, Figures]:
        """A figure a word of a section."""
        words = dict.fromkeys(q.word for q in self.questions if q.section == section)
        return {word: self.figure(self.rows(section, word=word)) for word in words}

    def instead(self, section: str, judge: str) -> dict[str, dict[str, int]]:
        """By class what its pictures show that do not show it, and how often."""
        rows = self.rows(section)
        sheet = self.sheets[judge].take(rows)
        chosen = [self.questions[i] for i in rows]
        found: dict[str, Counter[str]] = {}
        for question, hit, name in zip(
            chosen, shows(sheet, [q.wanted for q in chosen]).tolist(), sheet.drawn, strict=True
        ):
            if not hit:
                found.setdefault(question.about, Counter())[name] += 1
        return {about: dict(counts.most_common()) for about, counts in found.items()}
