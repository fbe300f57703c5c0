"""Prompts word by word, and subspaces of sentence states: what guards of the text look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from excise.hooks.places import Place
from excise.types import Condition, Prompt

_RANK = 1e-5  # singular values below this part of the largest are rounding of float32 states
SOFTNESS = 0.01  # of the stand-in for "is this an outlier?", in shares of the mean distance


@dataclass(frozen=True, eq=False)
class Words:
    """A prompt as its words, soft ones included."""

    words: tuple[str, ...]
    soft: Mapping[str, Mapping[str, Tensor]]

    def masked(self, mask: str) -> tuple[Prompt, ...]:
        """The prompt with each word masked in turn, and last as it is."""
        rows = [(*self.words[:i], mask, *self.words[i + 1 :]) for i in range(len(self.words))]
        return tuple(
            Prompt(" ".join(row), {w: v for w, v in self.soft.items() if w in row})
            for row in (*rows, self.words)
        )


def words_of(prompts: tuple[Prompt, ...], cond: Condition) -> tuple[Words | None, ...]:
    """The words of each row that its encoders read; None for a row that is no prompt's."""
    if len(prompts) == 1 < len(cond):
        prompts = prompts * len(cond)
    if len(prompts) != len(cond) or not cond.tokens:
        return (None,) * len(cond)
    found: list[Words | None] = []
    for row, prompt in enumerate(prompts):
        # The encoder that reads the most, where they have limits of their own.
        spans = max((tokens.spans[row] for tokens in cond.tokens.values()), key=len)
        found.append(Words(tuple(span.word for span in spans), prompt.soft))
    return tuple(found)


def sentence(cond: Condition, place: Place, encoder: str) -> Tensor:
    """One state a row (n, d): that of the end token, in which a text encoder sums a prompt up."""
    states = place.take(cond.tensors[place.feature])
    if place.rows is None:
        return states
    end = cond.tokens[encoder].mask.sum(1).to(states.device) - 1  # (n,)
    return states[torch.arange(len(states), device=states.device), end]  # (n, T, d) -> (n, d)


def within(x: Tensor, rows: Tensor) -> Tensor:
    """P x, with P the orthogonal projector onto the span of rows (k, d); of x (..., d)."""
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    found: Tensor = x.to(rows) @ torch.linalg.pinv(rows, rtol=_RANK) @ rows
    return found


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of ``hard`` with the gradient of ``soft``."""
    return hard.to(soft) + (soft - soft.detach())


def outliers(distances: Tensor, alone: Tensor, alpha: float) -> Tensor:
    """1 where a distance is at least (1 + alpha) times the mean of the others', else 0: (m,).

    alone: (), what takes the mean's place where there is no other. The gradient is that of a steep
    sigmoid about the threshold.
    """
    m = len(distances)
    others = (distances.sum() - distances) / (m - 1) if m > 1 else alone.expand(m)
    ratio = distances / others.clamp_min(torch.finfo(distances.dtype).tiny)
    soft = torch.sigmoid((ratio - 1 - alpha) / SOFTNESS)
    return straight_through(distances >= (1 + alpha) * others, soft)
