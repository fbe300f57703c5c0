"""Every method is tried as often, under settings that it has; what wins keeps what it must."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rivals import RIVALS, TRIED, best

import excise
from excise import registry
from excise.api.erasing import eraser_of
from excise.primitives import prompts
from excise.settings import build
from excise.types import Request


def point(concept: str, name: str, left: float, kept: float, plain: float = 0.0) -> dict[str, Any]:
    return {
        "concept": concept, "settings": {"lr": name}, "plain": plain, "kept": kept,
        "rungs": {"t4": {"base": 0.9, "edit": left}},
    }  # fmt: skip


@pytest.mark.parametrize("method", RIVALS)
def test_every_method_is_tried_as_often(method: str) -> None:
    kind = registry.get("eraser", method)
    assert len({repr(build(kind, own)) for own in RIVALS[method]}) == TRIED


def test_a_method_without_trials_has_its_papers_settings_alone() -> None:
    """A new one may be in the table before it was tried, but not tuned on the quiet."""
    for method in set(registry.names("eraser")) - {"task_vector", *RIVALS}:
        assert "emoji" not in registry.get("eraser", method).measured, method


OTHERS = {"object": 21, "style": 7}
"""Of a concept's kind, in the embedded model."""


def test_settings_that_come_to_the_same_are_tried_once() -> None:
    for number in OTHERS.values():
        cut = {(min(one["others"], number), one["shrink"]) for one in RIVALS["leace"]}
        assert len(cut) == TRIED
    # The plain negative prompt is the term of weight 1; see `excise.hooks.negative_prompt`.
    weights = [one.get("weight", 1.0) for one in RIVALS["negative_prompt"]]
    assert len(set(weights)) == TRIED


UNTRAINED = ("uce", "rece", "speed", "leace", "negative_prompt", "sld", "safree")


@pytest.mark.slow
@pytest.mark.parametrize("method", UNTRAINED)
@pytest.mark.parametrize("name", ["cat", "sketch"])
def test_no_two_settings_draw_the_same_pictures(method: str, name: str) -> None:
    model = excise.load("emoji")
    concept = next(one for one in model.known if one.name == name)
    others = [one.kind for one in prompts.kept_concepts(model, (concept,))]
    assert others.count(concept.kind) == OTHERS[concept.kind]
    texts = prompts.naming(model, concept, concept.names)[3::9]
    asked = Request(prompts=texts, seeds=tuple(range(len(texts))), steps=12)
    drawn: list[Any] = []
    for own in RIVALS[method]:
        with eraser_of(model, method, own).run(model, concept).applied(model):
            drawn.append(model.generate(asked).latents)
    apart = torch.pdist(torch.stack(drawn).flatten(1))
    assert float(apart.min()) > 0.1


def test_the_best_erases_most_of_those_that_keep_enough_on_every_concept() -> None:
    rows = [
        point("cat", "weak", 0.5, 0.99), point("sketch", "weak", 0.5, 0.99),
        point("cat", "harsh", 0.0, 0.99), point("sketch", "harsh", 0.0, 0.80),
        point("cat", "fair", 0.3, 0.96), point("sketch", "fair", 0.2, 0.97),
        point("cat", "partial", 0.0, 0.99),
    ]  # fmt: skip
    assert best(rows)["settings"] == {"lr": "fair"}


def test_plain_words_count_where_they_bring_more_back() -> None:
    rows = [point("cat", "seen", 0.1, 0.99, plain=0.6), point("cat", "gone", 0.3, 0.99)]
    assert best(rows)["settings"] == {"lr": "gone"}


def test_what_was_not_made_does_not_count_and_loses() -> None:
    failed = {"concept": "sketch", "settings": {"lr": "harsh"}, "why": "not finite"}
    rows = [point("cat", "harsh", 0.0, 0.99), failed,
            point("cat", "fair", 0.3, 0.96), point("sketch", "fair", 0.2, 0.97)]  # fmt: skip
    assert best(rows)["settings"] == {"lr": "fair"}
    with pytest.raises(ValueError, match="rows of a method"):
        best([failed])


def test_where_none_keeps_enough_the_one_that_keeps_most_is_best() -> None:
    rows = [point("cat", "harsh", 0.0, 0.7), point("cat", "fair", 0.3, 0.9)]
    assert best(rows)["settings"] == {"lr": "fair"}
    with pytest.raises(ValueError, match="rows of a method"):
        best([])
