from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from excise.emoji.export import known_concepts
from excise.errors import BadConcept
from excise.models.load import _concept
from excise.primitives.anchors import counterparts, stand_in
from excise.primitives.prompts import COMMON_OBJECTS
from excise.types import Concept

STRANGER: Any = SimpleNamespace(known=())


@pytest.fixture(scope="module")
def emoji() -> Any:
    """What the embedded model says of itself, without the model."""
    return SimpleNamespace(known=tuple(_concept(row) for row in known_concepts()))


def test_who_takes_a_concepts_place(emoji: Any) -> None:
    cat = Concept("cat", neighbours=("dog", "horse"))
    assert stand_in(emoji, replace(cat, anchor="thing")) == "thing"
    assert stand_in(emoji, cat) == "dog"
    assert stand_in(emoji, cat, (cat, Concept("dog"))) == "horse"
    sketch = next(row for row in emoji.known if row.name == "sketch")
    styles = {row.name for row in emoji.known if row.kind == "style"}
    assert stand_in(emoji, sketch) in styles - {"sketch"}
    assert stand_in(STRANGER, Concept("cat")) in COMMON_OBJECTS
    with pytest.raises(BadConcept, match="expected an anchor"):
        stand_in(emoji, Concept("watermark", kind="implicit"))


def test_counterparts_are_the_same_sentences() -> None:
    cat = Concept("cat", synonyms=("kitten",), templates=("{a}", "red {}"))
    found = {one.text: other.text for one, other in counterparts(cat, "apple").items()}
    assert found == {
        "a cat": "an apple",
        "a kitten": "an apple",
        "red cat": "red apple",
        "red kitten": "red apple",
    }
