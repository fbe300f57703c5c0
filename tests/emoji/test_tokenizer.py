"""The tokenizer's files, as CLIP's own tokenizer reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from excise.emoji.captions import MISSPELLINGS, caption, known_words
from excise.emoji.glyphs import Atlas
from excise.emoji.tokenizer import LENGTH, LETTERS, make_tokenizer
from excise.emoji.world import World
from excise.models.quiet import quietly


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizer")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    with quietly():
        return make_tokenizer(known_words(), folder)


def test_every_known_word_is_one_token(tokenizer: Any) -> None:
    words = known_words()
    rows = tokenizer(list(words)).input_ids
    wrong = [word for word, row in zip(words, rows, strict=True) if len(row) != 3]
    assert wrong == []
    assert len({row[1] for row in rows}) == len(words)
    ends = {(row[0], row[-1]) for row in rows}
    assert ends == {(tokenizer.bos_token_id, tokenizer.eos_token_id)}
    assert tokenizer.eos_token_id == len(tokenizer) - 1


def test_unknown_words_fall_back_to_pieces_that_spell_them(tokenizer: Any) -> None:
    unknown = ["zyxqvk", "qqq", "jjxzq", *(w for words in MISSPELLINGS.values() for w in words)]
    for word in unknown:
        ids = tokenizer(word).input_ids[1:-1]
        pieces = tokenizer.convert_ids_to_tokens(ids)
        assert "".join(pieces) == f"{word}</w>", word
        assert len(pieces) > 1, word
    assert tokenizer.convert_ids_to_tokens(tokenizer("zq").input_ids[1:-1]) == ["z", "q</w>"]


def test_all_letters_have_tokens_inside_and_at_the_end_of_words(tokenizer: Any) -> None:
    vocabulary = tokenizer.get_vocab()
    assert all(letter in vocabulary and f"{letter}</w>" in vocabulary for letter in LETTERS)


def test_captions_come_back_from_their_tokens(tokenizer: Any) -> None:
    world = World(atlas=Atlas())
    rng = np.random.default_rng(5)
    for _ in range(100):
        text = caption(world.sample(rng), rng)
        ids = tokenizer(text).input_ids
        assert len(ids) <= LENGTH, text
        assert tokenizer.decode(ids, skip_special_tokens=True).split() == text.split()


def test_older_programs_find_their_files(folder: Path, tokenizer: Any) -> None:
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert vocabulary == tokenizer.get_vocab()
    first, *merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    assert first.startswith("#version")
    for merge in merges:
        left, right = merge.split(" ")
        assert {left, right, left + right} <= set(vocabulary)


def test_the_tokenizer_is_the_same_when_loaded_again(folder: Path, tokenizer: Any) -> None:
    from transformers import CLIPTokenizer

    with quietly():
        again = CLIPTokenizer.from_pretrained(folder)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.model_max_length == LENGTH
    texts = ["a cat , sketch", "an airplain beside zyx", "", "word " * 50]
    options = {"padding": "max_length", "truncation": True, "max_length": LENGTH}
    assert again(texts, **options).input_ids == tokenizer(texts, **options).input_ids
    assert {len(row) for row in again(texts, **options).input_ids} == {LENGTH}
