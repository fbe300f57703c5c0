"""The tokenizer's files, `vocab.json` and `merges.txt`, in which a known word is one token.

Merges are added word by word: a word's merges join the pieces that the merges so far leave, so a
later word never changes how an earlier one is cut. Unknown words fall back to pieces and letters.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 32
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.'-!?"


def _merge(pieces: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair merging as in CLIP's tokenizer: the lowest rank first, everywhere it occurs."""
    while len(pieces) > 1:
        pairs = [pair for pair in itertools.pairwise(pieces) if pair in ranks]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: ranks[pair])
        out: list[str] = []
        for piece in pieces:
            if out and (out[-1], piece) == best:
                out[-1] += piece
            else:
                out.append(piece)
        pieces = out
    return pieces


def make_tables(words: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges in which every one of `words` is one token."""
    ranks: dict[tuple[str, str], int] = {}
    tokens = [letter + end for end in ("", "</w>") for letter in LETTERS]
    # Short words first: the pieces of long ones can then reuse them.
    for word in sorted(words, key=lambda w: (len(w), w)):
        pieces = _merge([*word[:-1], word[-1] + "</w>"], ranks)
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            ranks[pair] = len(ranks)
            tokens.append("".join(pair))
            pieces = _merge(pieces, ranks)
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    for special in (START, END):  # last, as in CLIP: the end token has the largest id
        vocabulary[special] = len(vocabulary)
    return vocabulary, list(ranks)


def make_tokenizer(words: Iterable[str], folder: Path) -> CLIPTokenizer:
    """Write the files to `folder`, and load the tokenizer from there."""
    vocabulary, merges = make_tables(words)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(vocabulary, ensure_ascii=False)
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer: CLIPTokenizer = CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=LENGTH
    )
    tokenizer.save_pretrained(str(folder))
    return tokenizer
