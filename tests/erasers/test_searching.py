"""What a task vector's searches find, and where it is held down."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.erasers.working import work_on
from tests.suite import two

from excise.erasers.searching import PLACES, in_sentences, inputs
from excise.erasers.task_vector import TaskVector
from excise.primitives.prompts import STYLE_TEMPLATES, sentences
from excise.types import Concept

METHOD = TaskVector(embeddings=5, tokens=2, inversion_steps=2, samples=1)


@pytest.fixture(scope="module")
def model() -> Any:
    return two.model()


def test_soft_tokens_are_held_down_in_several_sentences_and_conditionings_as_they_are(
    model: Any,
) -> None:
    concept = Concept("cat", templates=("{a}", "{a} on a mat", "two of {}"))
    work = work_on(model, concept)
    tokens, conditions = inputs(METHOD, work, concept, torch.zeros(1, *model.latent_shape), seed=0)
    assert (len(tokens), len(conditions)) == (3, 2)
    (alone,) = inputs(
        METHOD, work, concept, torch.zeros(1, *model.latent_shape), seed=0, within=("token",)
    )
    assert len(alone) == len(tokens) + len(conditions)  # as many, where the others were
    assert tokens.settings["texts"] == ["a <1>", "a <1> on a mat", "two of <1>"]
    rows = in_sentences(model, tokens)
    assert len(rows) == PLACES * len(tokens)
    for text in tokens.settings["texts"]:
        wanted = tokens.conditions(model, text).hidden  # (3, L, d)
        near = (rows.hidden[:, None] - wanted[None]).abs().amax(dim=(2, 3)) < 1e-5  # (12, 3)
        assert near.any(dim=0).all()  # each token in each of three sentences, of four turns
    assert torch.equal(in_sentences(model, conditions).hidden, conditions.conditions(model).hidden)


def test_a_style_is_searched_for_about_every_object_and_a_watermark_beside_them(
    model: Any,
) -> None:
    class Known:
        known = tuple(Concept(name) for name in ("cat", "dog", "house"))

    knows: Any = Known()
    style = sentences(knows, Concept("sketch", kind="style"))
    assert style[:3] == (
        "a <1> picture of a cat",
        "a dog in <1> style",
        "an image of a house in <1> style",
    )
    assert len(style) == len(STYLE_TEMPLATES)
    beside = sentences(knows, Concept("watermark", kind="implicit"))
    assert all(text.endswith(" <1>") and "watermark" not in text for text in beside)
    assert len(sentences(knows, Concept("tree"))) == 10
