"""Where text stands in a condition: which rows of which tensor were made by which encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from excise.types import Condition, TextToImage


@dataclass(frozen=True)
class Place:
    """A part of a condition in which vectors can be compared with one another.

    feature: the tensor's name. rows: (start, stop) in its tokens; None in one without tokens.
    """

    feature: str
    rows: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        """As text, such as ``hidden/0/77`` and ``pooled``; `parse` reads it."""
        return "/".join(str(part) for part in (self.feature, *(self.rows or ())))

    @staticmethod
    def parse(key: str) -> Place:
        """The place of a key."""
        feature, *rows = key.split("/")
        return Place(feature, (int(rows[0]), int(rows[1])) if rows else None)

    def take(self, value: Tensor) -> Tensor:
        """The vectors: (..., tokens, d), or (..., d) where there are no tokens."""
        return value if self.rows is None else value[..., slice(*self.rows), :]

    def put(self, value: Tensor, vectors: Tensor) -> Tensor:
        """The tensor with other vectors there."""
        if self.rows is None:
            return vectors.to(value.dtype)
        start, stop = self.rows
        parts = [value[..., :start, :], vectors.to(value.dtype), value[..., stop:, :]]
        return torch.cat(parts, dim=-2)

    def named(self, cond: Condition) -> tuple[str, ...]:
        """The tensors of a condition that hold this feature: it, and ``.../feature`` beside it.

        Such as the bands of a conditioning that changes from step to step.
        """
        return tuple(n for n in cond.tensors if n.rpartition("/")[2] == self.feature)


def places(model: TextToImage) -> dict[Place, str]:
    """The places of a model, each with the encoder whose tokens its rows are.

    Encoders side by side in the same rows are one place, named by the first of them.
    """
    found: dict[Place, str] = {}
    for projection in model.text_projections():
        for part in projection.parts:
            rows = part.rows if projection.feature == "hidden" else None
            found.setdefault(Place(projection.feature, rows), part.encoder)
    return found
