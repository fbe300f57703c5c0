"""Every method is tried as often, under settings that it has; what wins keeps what it must."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rivals import KINDS, RIVALS, TRIED, best

import excise
from excise import registry
from excise.primitives import prompts
from excise.settings import build
from excise.store import read_json
from excise.types import Kind, Request


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
        with build(registry.get("eraser", method), own).run(model, concept).applied(model):
            drawn.append(model.generate(asked).latents)
    apart = torch.pdist(torch.stack(drawn).flatten(1))
    assert float(apart.min()) > 0.1


def test_the_best_erases_most_of_those_that_keep_enough_and_is_of_one_concept() -> None:
    rows = [point("cat", "weak", 0.5, 0.99), point("cat", "harsh", 0.0, 0.8),
            point("cat", "fair", 0.3, 0.96), point("sketch", "harsh", 0.0, 0.99)]  # fmt: skip
    assert settings(rows) == {"lr": "fair"}
    assert settings(rows, "sketch") == {"lr": "harsh"}


def test_plain_words_count_where_they_bring_more_back() -> None:
    rows = [point("cat", "seen", 0.1, 0.99, plain=0.6), point("cat", "gone", 0.3, 0.99)]
    assert settings(rows) == {"lr": "gone"}


def test_what_was_not_made_does_not_count() -> None:
    failed = {"concept": "cat", "settings": {"lr": "harsh"}, "why": "not finite"}
    assert settings([failed, point("cat", "fair", 0.3, 0.96)]) == {"lr": "fair"}
    assert best([failed], "cat") is None


def test_where_none_keeps_enough_the_one_that_keeps_most_is_best() -> None:
    rows = [point("cat", "harsh", 0.0, 0.7), point("cat", "fair", 0.3, 0.9)]
    assert settings(rows) == {"lr": "fair"}


def settings(rows: Any, concept: str = "cat") -> Any:
    won = best(rows, concept)
    return None if won is None else won["settings"]


EXPERIMENTS = Path(__file__).resolve().parents[2] / "docs" / "experiments"
MEASURED: dict[str, list[Any]] = {}
for file in (EXPERIMENTS / f"{name}.json" for name in ("settings", "methods")):
    for row in read_json(file) if file.exists() else []:  # type: ignore[union-attr]
        MEASURED.setdefault(row["method"], []).append(row)  # type: ignore[call-overload,index]


@pytest.mark.parametrize("method", MEASURED)
@pytest.mark.parametrize(("concept", "kind"), KINDS.items())
def test_what_won_is_what_a_user_gets(method: str, concept: str, kind: Kind) -> None:
    cls = registry.get("eraser", method)
    emoji: Any = SimpleNamespace(name="emoji", family="stable-diffusion")
    won = best(MEASURED[method], concept)
    assert cls.fitted(emoji, kind=kind) == build(cls, won["settings"] if won else {})
