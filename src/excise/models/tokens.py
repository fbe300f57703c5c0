"""Prompts cut into tokens, with ordinary placeholder tokens where soft vectors are to stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from excise.errors import Unsupported, UserError
from excise.types import PUNCTUATION, Lexicon, Span, Tokens

# Words tried in turn as the placeholder; a usable one is one ordinary token wherever it stands.
PLACEHOLDERS = ("*", "x", "a", "o", "e", "it", "the")


@dataclass(frozen=True)
class Cut:
    """Tokens of some rows, and where each row's soft words lie: by row, {word: (start, stop)}."""

    tokens: Tokens
    soft: tuple[Mapping[str, tuple[int, int]], ...]


class Cutter:
    """One tokenizer with its length limit. Every row comes out at that length.

    placeholder: the word whose token stands where soft vectors go.
    """

    def __init__(self, tokenizer: Any, length: int, placeholder: str) -> None:
        self._tokenizer = tokenizer
        self.length = length
        self.placeholder = placeholder
        first = tokenizer("", truncation=True, max_length=length)["input_ids"][:1]
        self._prefix = int(bool(first) and first[0] == tokenizer.bos_token_id)

    def cut(self, texts: Sequence[str], soft: Sequence[Mapping[str, int]]) -> Cut:
        """Tokens of texts; ``soft`` says for each how many vectors its soft words stand for.

        Raises UserError if a soft word is cut off by the limit.
        """
        rows = [_split(text, lengths) for text, lengths in zip(texts, soft, strict=True)]
        plain = [" ".join(self._plain(piece, n) for piece, n in row) for row in rows]
        # A text without soft words goes to the tokenizer as it is, spaces and all.
        plain = [p if s else text for p, s, text in zip(plain, soft, texts, strict=True)]
        out = self._tokenizer(
            plain,
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        )
        mask = out["attention_mask"].bool()
        spans = [self._spans(row, int(m.sum())) for row, m in zip(rows, mask, strict=True)]
        found = []
        for row, lengths in enumerate(soft):
            places = {s.word: (s.start, s.stop) for s in spans[row] if s.word in lengths}
            for word in lengths.keys() - places.keys():
                raise UserError(
                    f"expected the soft token {word!r} within the first {self.length} tokens of "
                    f"{texts[row]!r}; move it forward or shorten the text"
                )
            found.append(places)
        tokens = Tokens(ids=out["input_ids"], mask=mask, spans=tuple(spans))
        return Cut(tokens=tokens, soft=tuple(found))

    def words(self) -> tuple[str, ...]:
        """What each token of the vocabulary reads as by itself, in the order of their ids."""
        ids = [[i] for i in range(len(self._tokenizer))]
        texts = [text.strip() for text in self._tokenizer.batch_decode(ids)]
        return tuple(dict.fromkeys(text for text in texts if text and len(text.split()) == 1))

    def tokens_of(self, words: Sequence[str]) -> list[int | None]:
        """The one ordinary token that each word is read as; None where it is several, or special.

        Tokens never join across spaces, so a word is the same token wherever it stands.
        """
        special = {*self._tokenizer.all_special_ids}
        cut = self._tokenizer(list(words), add_special_tokens=False)["input_ids"]
        return [ids[0] if len(ids) == 1 and ids[0] not in special else None for ids in cut]

    def _plain(self, piece: str, soft: int | None) -> str:
        return piece if soft is None else " ".join([self.placeholder] * soft)

    def _spans(self, row: Sequence[tuple[str, int | None]], content: int) -> tuple[Span, ...]:
        """Tokens never join across spaces, so that words can be counted one by one."""
        end = content - 1  # where the end token stands
        spans: list[Span] = []
        position = self._prefix
        for piece, soft in row:
            length, own = self._lengths(piece) if soft is None else (soft, soft)
            if position + length > end:
                return tuple(spans)
            spans.append(Span(piece, position, position + own))
            position += length
        return tuple(spans) if position == end else ()

    def _lengths(self, word: str) -> tuple[int, int]:
        """How many tokens a word has, and how many without the punctuation after it."""
        tokens, bare = self._tokenizer.tokenize(word), word.rstrip(PUNCTUATION)
        if bare in ("", word):
            return len(tokens), len(tokens)
        own = self._tokenizer.tokenize(bare)
        return len(tokens), len(own) if tokens[: len(own)] == own else len(tokens)


def placeholder(tokenizers: Sequence[Any]) -> str:
    """The first of `PLACEHOLDERS` that is one ordinary token to every tokenizer.

    Raises Unsupported if there is none.
    """
    for word in PLACEHOLDERS:
        if all(_is_one_token(tokenizer, word) for tokenizer in tokenizers):
            return word
    raise Unsupported(
        f"expected one of {PLACEHOLDERS} to be a single token of the model's tokenizers, to stand "
        "where soft vectors go; found none"
    )


def lexicon(cutters: Mapping[str, Cutter]) -> Lexicon:
    """The words that every one of the tokenizers reads as one ordinary token.

    Raises Unsupported if there are none.
    """
    words = next(iter(cutters.values())).words()
    found = [cutter.tokens_of(words) for cutter in cutters.values()]
    rows = [i for i, ids in enumerate(zip(*found, strict=True)) if None not in ids]
    # Two texts of the same tokens are one word, such as two spellings of a letter.
    keys = {tuple(ids[i] for ids in found): i for i in reversed(rows)}
    rows = sorted(keys.values())
    if not rows:
        raise Unsupported(
            "expected words that are one token to every text encoder, found none; attack with "
            "soft tokens instead"
        )
    return Lexicon(
        words=tuple(words[i] for i in rows),
        ids={
            name: torch.tensor([ids[i] for i in rows], dtype=torch.int64)
            for name, ids in zip(cutters, found, strict=True)
        },
    )


def _is_one_token(tokenizer: Any, word: str) -> bool:
    ids = tokenizer(f"{word} {word}", add_special_tokens=False)["input_ids"]
    # CLIP's unknown token is its end token, so this keeps both out.
    return len(ids) == 2 and ids[0] == ids[1] != tokenizer.unk_token_id


def _split(text: str, soft: Mapping[str, int]) -> list[tuple[str, int | None]]:
    """Words in order, a soft word with its number of vectors: [("a", None), ("<1>", 2)]."""
    if not soft:
        return [(word, None) for word in text.split()]
    names = sorted(soft, key=len, reverse=True)
    pieces = re.split("(" + "|".join(map(re.escape, names)) + ")", text)
    found: list[tuple[str, int | None]] = []
    for piece in pieces:
        if piece in soft:
            found.append((piece, soft[piece]))
        else:
            found += [(word, None) for word in piece.split()]
    return found


@dataclass(frozen=True)
class Injection:
    """Vectors to stand at positions of a batch's token embeddings.

    rows, columns: int64 (m,). vectors: (m, d).
    """

    rows: Tensor
    columns: Tensor
    vectors: Tensor

    @staticmethod
    def of(
        places: Sequence[Mapping[str, tuple[int, int]]],
        soft: Sequence[Mapping[str, Tensor]],
    ) -> Injection | None:
        """From each row's places and vectors (k, d) by soft word; None if there are no vectors."""
        rows: list[int] = []
        columns: list[int] = []
        vectors: list[Tensor] = []
        for row, (where, what) in enumerate(zip(places, soft, strict=True)):
            for word, value in what.items():
                start, stop = where[word]
                rows += [row] * (stop - start)
                columns += range(start, stop)
                vectors.append(value)
        if not vectors:
            return None
        return Injection(torch.tensor(rows), torch.tensor(columns), torch.cat(vectors))

    @staticmethod
    def batched(
        place: Mapping[str, tuple[int, int]], soft: Mapping[str, Tensor]
    ) -> Injection | None:
        """The same places in each of K rows, from vectors (K, k, d) by soft word."""
        if not soft:
            return None
        columns = [c for word in soft for c in range(*place[word])]
        vectors = torch.cat([soft[word] for word in soft], dim=1)  # (K, sum of k, d)
        k = len(vectors)
        return Injection(
            rows=torch.arange(k).repeat_interleave(len(columns)),
            columns=torch.tensor(columns * k),
            vectors=vectors.flatten(0, 1),  # (K * sum of k, d)
        )
