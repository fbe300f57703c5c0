"""Spaces of real words: points on the vocabulary simplex, and vectors that the nearest word reads.

Both search by gradients and try real words only, so that what is found is a text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.primitives import simplex
from excise.primitives.vocabulary import Frame, Vectors, word_vectors
from excise.rng import generator
from excise.types import Condition, Prompt, TextToImage

WORDS = "words"
"""The name of the points among the values of the simplex space."""


class WordSpace(ABC):
    """What the two have in common: frames whose free places take words.

    frames: one a row, or one for all. Rows of fewer places leave the last of their values unused.
    """

    def __init__(self, model: TextToImage, frames: Sequence[Frame]) -> None:
        self._model, self._frames = model, tuple(frames)
        self.vectors = Vectors.of(model)
        self.places = max(len(frame) for frame in frames)

    @abstractmethod
    def words(self, values: Mapping[str, Tensor]) -> Tensor:
        """The words that values stand for, int64 (n, k)."""

    @abstractmethod
    def read(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By encoder the vectors (n, k, d) that values stand for; differentiable."""

    def conditions(
        self, values: Mapping[str, Tensor], rows: Sequence[int] | None = None
    ) -> Condition:
        """The frames with what values stand for, encoded. rows: which values these are."""
        read = self.read(values)
        return self._model.encode(
            [
                frame.prompt({name: value[i] for name, value in read.items()})
                for i, frame in enumerate(self._of(values, rows))
            ]
        )

    def prompts(
        self, values: Mapping[str, Tensor], rows: Sequence[int] | None = None
    ) -> tuple[Prompt, ...]:
        """The frames with words: texts that the model's tokenizers cut into the words meant."""
        names = self.vectors.lexicon.words
        return tuple(
            Prompt(frame.text([names[i] for i in words]))
            for frame, words in zip(
                self._of(values, rows), self.words(values).tolist(), strict=True
            )
        )

    def _of(self, values: Mapping[str, Tensor], rows: Sequence[int] | None) -> tuple[Frame, ...]:
        n = len(next(iter(values.values())))
        if len(self._frames) == 1:
            return self._frames * n
        return tuple(self._frames[row] for row in (range(n) if rows is None else rows))

    def _random(self, rows: Sequence[int], seed: int) -> Tensor:
        draws = [torch.rand(self.places, generator=generator(seed, "words", r)) for r in rows]
        return (torch.stack(draws) * len(self.vectors)).long()  # (n, k)


class SimplexSpace(WordSpace):
    """Points (n, k, W) on the vocabulary simplex, one a place, shared by all encoders.

    A step tries words drawn from the points, and its gradient passes through them.
    """

    def __init__(self, model: TextToImage, frames: Sequence[Frame]) -> None:
        super().__init__(model, frames)
        self.scale = {WORDS: 1.0}

    def start(self, rows: Sequence[int], seed: int, init: str, jitter: float) -> dict[str, Tensor]:
        """The middle of the simplex, from which rows part by what they draw; or words.

        jitter: the share of the middle that is mixed into the words.
        """
        middle = torch.full((len(rows), self.places, len(self.vectors)), 1 / len(self.vectors))
        if init:
            values = [word_vectors(self._model, name, init) for name in self.vectors.tables]
            k = min(map(len, values))
            own = {n: v[:k][None].float() for n, v in zip(self.vectors.tables, values, strict=True)}
            words = self.vectors.nearest(own)[0].cpu()  # (k,)
            index = words[torch.arange(self.places) % k]
            middle = jitter * middle + (1 - jitter) * F.one_hot(index, len(self.vectors))
        return {WORDS: middle.to(self._model.device)}

    def tried(
        self, values: Mapping[str, Tensor], seed: int, rows: Sequence[int], step: int
    ) -> dict[str, Tensor]:
        """Words drawn from the points, one-hot, with the gradients of the points."""
        points = values[WORDS]
        numbers = [generator(seed, "tried", row, step) for row in rows]
        words = simplex.sampled(points, numbers)
        return {WORDS: simplex.straight_through(points, words)}

    def settled(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The likeliest words, one-hot."""
        return {WORDS: F.one_hot(self.words(values), len(self.vectors)).to(values[WORDS].dtype)}

    def words(self, values: Mapping[str, Tensor]) -> Tensor:
        """The likeliest word of each place."""
        return values[WORDS].argmax(dim=-1)

    def read(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean vector under each point: of a one-hot, the word's own."""
        return {name: values[WORDS] @ table for name, table in self.vectors.tables.items()}

    @torch.no_grad()
    def project(self, values: Mapping[str, Tensor]) -> None:
        """Back onto the simplex."""
        values[WORDS].copy_(simplex.project(values[WORDS]))

    def features(self, values: Mapping[str, Tensor]) -> Tensor:
        """The mean vectors, one after the other."""
        return torch.cat([value.flatten(1) for value in self.read(values).values()], dim=1)

    def word(self, text: str) -> Tensor:
        """The mean of the text's tokens, in every place."""
        parts = [
            word_vectors(self._model, name, text).float().mean(0).repeat(self.places)
            for name in self.vectors.tables
        ]
        return torch.cat(parts)


class NearestSpace(WordSpace):
    """Vectors (n, k, d) by encoder, of which the nearest words are read.

    Wen et al. 2023, arXiv:2302.03668 ("PEZ"): the gradient is taken at the words, and moves the
    vectors.
    """

    def start(self, rows: Sequence[int], seed: int) -> dict[str, Tensor]:
        """At random words."""
        return self.vectors.at(self._random(rows, seed))

    def tried(
        self, values: Mapping[str, Tensor], seed: int, rows: Sequence[int], step: int
    ) -> dict[str, Tensor]:
        """The nearest words' vectors, with the gradients of the vectors."""
        with torch.no_grad():
            near = self.settled(values)
        return {name: near[name] + (value - value.detach()) for name, value in values.items()}

    def settled(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The nearest words' vectors."""
        return self.vectors.at(self.words(values))

    def words(self, values: Mapping[str, Tensor]) -> Tensor:
        """The nearest word of each place."""
        return self.vectors.nearest(values)

    def read(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The vectors themselves."""
        return dict(values)

    def project(self, values: Mapping[str, Tensor]) -> None:
        """Everything is allowed: what is read is a word anyway."""
