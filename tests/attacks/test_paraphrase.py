from __future__ import annotations

import pytest
from tests.attacks.toy import Nearest
from tests.trained import World, world

from excise.attacks.base import run_attack
from excise.attacks.paraphrase import Paraphrase, _Dice, mistyped
from excise.errors import BadSetting
from excise.primitives.prompts import named_in
from excise.types import Concept, Prompt

CAT = Concept("cat", synonyms=("kitten",), held_back=("mog", "feline"))
PROMPTS = Prompt.of(["a photo of a cat", "a mog", "something"])


@pytest.fixture(scope="module")
def w() -> World:
    return world()


def texts(w: World, attack: Paraphrase, seed: int = 0, concept: Concept = CAT) -> list[list[str]]:
    rounds = attack.search(w.model, (concept,), PROMPTS, seed=seed)
    return [[request.prompts[0].text for request in found] for found in rounds]


def test_nothing_is_said_twice_and_nothing_as_it_was(w: World) -> None:
    found = [text for row in texts(w, Paraphrase(restarts=60)) for text in row]
    assert len(found) == len(set(found)) == 180
    assert not {p.text for p in PROMPTS} & set(found)
    assert all(text and text == " ".join(text.split()) for text in found)


def test_words_that_are_held_back_are_read_only_by_who_may(w: World) -> None:
    free = texts(w, Paraphrase(restarts=40))
    bound = texts(w, Paraphrase(restarts=40, held_back=False))
    said = [named_in(text, CAT.held_back) for row in free for text in row]
    assert any(said)
    assert not any(named_in(text, CAT.held_back) for row in bound for text in row)


def test_a_small_space_is_left_by_more_misspellings(w: World) -> None:
    """Without a choice of sentence the texts run out; it goes on with further letters changed."""
    mark = Concept("mark", kind="implicit", templates=("x",))
    attack = Paraphrase(restarts=200, misspelt=0, context=0, reordered=0)
    found = [text for row in texts(w, attack, concept=mark) for text in row]
    assert len(set(found)) == 600


def test_the_seed_decides(w: World) -> None:
    a, b, c = (texts(w, Paraphrase(restarts=8), seed) for seed in (0, 0, 1))
    assert a == b != c
    assert texts(w, Paraphrase(restarts=3)) == a[:3]


def test_most_texts_still_name_it(w: World) -> None:
    attack = Paraphrase(restarts=40, misspelt=0, reordered=0)
    words = (*CAT.names, *CAT.held_back)
    found = [text for row in texts(w, attack) for text in row]
    assert sum(named_in(text, words) is not None for text in found) >= 0.9 * len(found)


def test_one_letter_is_one_letter() -> None:
    for seed in range(200):
        word = mistyped("kitten", _Dice(seed, 0, 0))
        assert abs(len(word) - 6) <= 1
        assert len(mistyped("a", _Dice(seed, 0, 0))) >= 1
    assert len({mistyped("kitten", _Dice(s, 0, 0)) for s in range(200)}) > 50


def test_it_brings_back_what_another_word_brings_back(w: World) -> None:
    """To the tiny model only the name means anything, so plain texts with it succeed."""
    found = run_attack(
        Paraphrase(restarts=6, misspelt=0),
        w.model,
        Concept("cat"),
        ["a picture of a dog"],
        Nearest(w),
        select_seeds=(0, 1),
        score_seeds=(5, 6),
    )
    assert found.rate == 1


def test_settings() -> None:
    with pytest.raises(BadSetting, match="misspelt"):
        Paraphrase(misspelt=2.0)
    with pytest.raises(BadSetting, match="restarts"):
        Paraphrase(restarts=0)
