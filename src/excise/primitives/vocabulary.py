"""Real words and their vectors, and texts with places for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from excise.errors import BadSetting, Unsupported
from excise.types import Lexicon, Prompt, TextToImage


def vocabulary(model: TextToImage, encoder: str) -> Tensor:
    """The token-embedding table (V, d) of a text encoder, detached."""
    layer = getattr(model.components[encoder], "get_input_embeddings", lambda: None)()
    if layer is None:
        raise Unsupported(f"expected a text encoder with a table of tokens, but {encoder} of "
                          f"{model.name} has none; use the condition space")  # fmt: skip
    table: Tensor = layer.weight
    return table.detach()


def word_vectors(model: TextToImage, encoder: str, text: str) -> Tensor:
    """The token embeddings (k, d) of a text in one encoder, without its special tokens."""
    tokens = model.encode(text).tokens[encoder]
    spans = tokens.spans[0]
    if not spans:
        raise BadSetting(f"expected words that {encoder} can read, got {text!r}")
    table = vocabulary(model, encoder)
    return table[tokens.ids[0, spans[0].start : spans[-1].stop].to(table.device)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Vectors:
    """The words that a model reads as one token each, with what its encoders make of them.

    tables: by encoder, float32 (W, d), the token embedding of each word.
    """

    lexicon: Lexicon
    tables: Mapping[str, Tensor]

    @staticmethod
    def of(model: TextToImage) -> Vectors:
        """Those of a model. Raises Unsupported where no word is one token to every encoder."""
        lexicon = model.lexicon()
        tables = {name: vocabulary(model, name) for name in model.encoders}
        return Vectors(
            lexicon=lexicon,
            tables={
                name: table[lexicon.ids[name].to(table.device)].float()
                for name, table in tables.items()
            },
        )

    def __len__(self) -> int:
        return len(self.lexicon)

    def at(self, words: Tensor) -> dict[str, Tensor]:
        """By encoder the vectors (..., d) of words, int64 (...)."""
        return {name: table[words.to(table.device)] for name, table in self.tables.items()}

    def nearest(self, values: Mapping[str, Tensor]) -> Tensor:
        """The word, int64 (n, k), at the largest cosine to vectors (n, k, d) by encoder.

        As in Wen et al. 2023 (arXiv:2302.03668), section 3; of several encoders the cosines are
        added, so that one word stands for all.
        """
        likeness = [values[name] @ unit.T / values[name].norm(dim=-1, keepdim=True).clamp_min(1e-12)
                    for name, unit in self._units.items()]  # fmt: skip
        return torch.stack(likeness).sum(0).argmax(dim=-1)  # (n, k, W) -> (n, k)

    @cached_property
    def _units(self) -> dict[str, Tensor]:
        return {
            name: table / table.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            for name, table in self.tables.items()
        }


@dataclass(frozen=True)
class Frame:
    """A text with free places, each for one word.

    parts: pieces of text in order, None where a word is free.
    """

    parts: tuple[str | None, ...]

    @staticmethod
    def free(places: int, after: str = "") -> Frame:
        """So many free places, and a text after them if there is one."""
        return Frame((None,) * places + ((after,) if after else ()))

    def __len__(self) -> int:
        return self.parts.count(None)

    def text(self, words: Sequence[str]) -> str:
        """The text with words in its first places; those beyond its places are left out."""
        rest = iter(words)
        return " ".join(next(rest) if part is None else part for part in self.parts)

    def prompt(self, vectors: Mapping[str, Tensor]) -> Prompt:
        """The text with vectors, by encoder (k, d), in the place of the words."""
        marks = [f"<{place}>" for place in range(1, len(self) + 1)]
        soft = {
            mark: {name: value[place : place + 1] for name, value in vectors.items()}
            for place, mark in enumerate(marks)
        }
        return Prompt(self.text(marks), soft)

    def fitted(self, model: TextToImage) -> Frame:
        """The frame without the places that a text encoder would cut off.

        Raises:
            BadSetting: none is left.
        """
        word = model.lexicon().words[0]
        cut = model.encode(self.text([word] * len(self))).tokens.values()
        read = min(len(tokens.spans[0]) for tokens in cut)  # words before the limit
        parts: list[str | None] = []
        seen = 0
        for part in self.parts:
            seen += 1 if part is None else len(part.split())
            if part is not None or seen <= read:
                parts.append(part)
        if None not in parts:
            raise BadSetting(
                f"expected a place for a word within what {model.name} reads, got none in "
                f"{self.parts}; shorten the prompt"
            )
        return Frame(tuple(parts))


def room(model: TextToImage) -> int:
    """How many tokens of a text every encoder reads, its two special tokens aside."""
    return min(tokens.ids.shape[1] for tokens in model.encode("").tokens.values()) - 2
