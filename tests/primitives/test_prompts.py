from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from excise.emoji.captions import known_words
from excise.emoji.export import known_concepts
from excise.models.load import _concept
from excise.primitives import prompts
from excise.types import Concept


@pytest.fixture(scope="module")
def emoji() -> Any:
    """What the embedded model says of itself, without the model."""
    return SimpleNamespace(known=tuple(_concept(row) for row in known_concepts()))


STRANGER: Any = SimpleNamespace(known=())


def words(texts: Any) -> set[str]:
    return {word.strip(",") for prompt in texts for word in prompt.text.split()} - {""}


@pytest.mark.parametrize("name", ["cat", "sketch", "watermark", "apple"])
def test_the_embedded_model_knows_every_word(emoji: Any, name: str) -> None:
    concept = next(row for row in emoji.known if row.name == name)
    kept = prompts.kept_concepts(emoji, (concept,))
    texts = [*prompts.naming(emoji, concept), *prompts.held_back(emoji, concept)]
    texts += [pair.prompt for pair in prompts.pairs(emoji, concept, kept)]
    texts += prompts.unrelated(emoji, (concept,))
    assert words(texts) <= set(known_words())


def test_an_object_has_ten_sentences_a_name(emoji: Any) -> None:
    cat = prompts.completed(emoji, Concept("cat"))
    texts = prompts.naming(emoji, cat)
    assert len(texts) == len(set(texts)) == 10 * len(cat.names)
    assert all(any(name in prompt.text for name in cat.names) for prompt in texts)
    assert prompts.naming(emoji, Concept("apple"))[0].text == "an apple"


def test_a_style_is_about_objects_that_stay(emoji: Any) -> None:
    sketch, cat = (next(r for r in emoji.known if r.name == n) for n in ("sketch", "cat"))
    texts = prompts.naming(emoji, sketch, gone=(sketch, cat))
    assert all(any(name in p.text for name in sketch.names) for p in texts)
    assert not any("cat" in p.text.split() for p in texts)
    objects = {r.name for r in emoji.known if r.kind == "object"}
    one = prompts.naming(emoji, sketch, ("sketch",))
    assert len({name for p in one for name in objects & set(p.text.split())}) == 10


def test_pictures_of_a_style_are_about_every_object(emoji: Any) -> None:
    sketch = next(row for row in emoji.known if row.name == "sketch")
    objects = {row.name for row in emoji.known if row.kind == "object"}
    texts = [prompt.text for prompt in prompts.spanning(emoji, sketch).prompts(["sketch"])]
    assert len(texts) == len(objects)
    assert objects == {name for text in texts for name in objects & set(text.split())}
    own = replace(sketch, templates=("a map in {} style",))
    assert prompts.spanning(emoji, own).templates == own.templates


def test_searches_for_a_style_go_through_objects_and_sentences_alike(emoji: Any) -> None:
    sketch = next(row for row in emoji.known if row.name == "sketch")
    objects = {row.name for row in emoji.known if row.kind == "object"}
    texts = prompts.sentences(emoji, sketch)
    assert all(text.split().count("<1>") == 1 for text in texts)
    assert objects == {name for text in texts for name in objects & set(text.split())}
    around = {
        " ".join(word for word in text.split() if word not in objects | {"a", "an"})
        for text in texts
    }
    assert len(around) == len(prompts.STYLE_TEMPLATES)
    assert prompts.sentences(emoji, replace(sketch, templates=("a map in {} style",))) == (
        "a map in <1> style",
    )


def test_no_prompt_names_an_implicit_concept(emoji: Any) -> None:
    mark = next(row for row in emoji.known if row.kind == "implicit")
    texts = prompts.naming(emoji, mark)
    assert len(texts) == 10
    assert not any("watermark" in prompt.text for prompt in texts)


def test_what_an_eraser_may_not_read_is_in_no_other_prompt(emoji: Any) -> None:
    for row in emoji.known:
        hidden = {word for prompt in prompts.naming(emoji, row) for word in prompt.text.split()}
        assert not hidden & set(row.held_back)
        assert bool(prompts.held_back(emoji, row)) == bool(row.held_back)


def test_a_concept_keeps_what_it_says_of_itself(emoji: Any) -> None:
    full = prompts.completed(emoji, Concept("cat", synonyms=("kitty",), neighbours=("fish",)))
    assert full.neighbours == ("fish",)
    assert full.synonyms == ("kitty",)
    assert full.held_back == ()  # the model's own has been handed over
    assert prompts.completed(emoji, Concept("cat")).held_back == ("kitty",)
    assert prompts.completed(emoji, Concept("neon")).kind == "style"
    assert prompts.completed(emoji, Concept("zebra")).synonyms == ()


def test_nothing_that_is_to_go_is_to_stay(emoji: Any) -> None:
    kept = prompts.kept_concepts(emoji, (Concept("Cat"), Concept("boat", synonyms=("truck",))))
    names = [row.name for row in kept]
    assert not {"cat", "boat", "truck", "watermark"} & set(names)
    assert {"dog", "neon"} <= set(names)
    assert [r.name for r in prompts.kept_concepts(emoji, (Concept("cat"),), ("dog", "cat"))] == [
        "dog"
    ]


def test_neighbours_come_from_the_concept_or_from_the_model(emoji: Any) -> None:
    kept = prompts.kept_concepts(emoji, (Concept("cat"),))
    own = next(row.neighbours for row in emoji.known if row.name == "cat")
    assert prompts.neighbours(emoji, (Concept("cat"),), kept) == own[:3]
    given = Concept("cat", neighbours=("fish", "cat", "zebra"))
    assert prompts.neighbours(emoji, (given,), kept) == ("fish",)
    far = prompts.unrelated(emoji, (Concept("cat"),))
    assert not any(name in prompt.text.split() for prompt in far for name in own)


def test_a_model_that_says_nothing_still_has_something_to_keep() -> None:
    kept = prompts.kept_concepts(STRANGER, (Concept("cat", neighbours=("lynx",)),))
    assert kept[0].name == "lynx"
    assert {row.kind for row in kept} == {"object", "style"}
    assert "cat" not in {row.name for row in kept}


@pytest.mark.parametrize("name", ["cat", "sketch", "watermark"])
def test_a_pair_names_both(emoji: Any, name: str) -> None:
    concept = next(row for row in emoji.known if row.name == name)
    kept = prompts.kept_concepts(emoji, (concept,))
    found = prompts.pairs(emoji, concept, kept)
    assert {pair.other.name for pair in found} == {r.name for r in kept if r.kind == "object"}
    for pair in found:
        assert pair.other.name in pair.prompt.text.split()
        assert (name in pair.prompt.text.split()) == (name != "watermark")


def test_a_users_templates_come_first(emoji: Any) -> None:
    own = Concept("cat", templates=("my {}",))
    assert [p.text for p in prompts.naming(emoji, own)] == ["my cat"]
