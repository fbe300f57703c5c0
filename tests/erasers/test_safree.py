from __future__ import annotations

from typing import Any

import pytest
from tests import tiny

from excise.erasers.safree import SAFREE
from excise.errors import BadSetting, Unsupported
from excise.hooks import safree as hooks
from excise.hooks.negative_prompt import NegativePrompt
from excise.models.load import of_pipeline
from excise.types import Concept

CAT, DOG = Concept("cat", synonyms=("x",)), Concept("dog")
SKETCH = Concept("sketch", kind="style")


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def guard_of(method: SAFREE, model: Any, *concepts: Concept) -> hooks.SAFREE:
    found = method.run(model, concepts).hooks[-1]
    assert isinstance(found, hooks.SAFREE)
    return found


def test_every_name_of_every_concept_spans_the_subspace(model: Any) -> None:
    assert guard_of(SAFREE(), model, CAT, DOG).phrases == ("cat", "x", "dog")
    assert guard_of(SAFREE(phrases=("a tree",)), model, CAT).phrases == ("a tree",)


def test_the_phrases_are_the_negative_prompt_too(model: Any) -> None:
    negative, _ = SAFREE().run(model, (CAT, DOG)).hooks
    assert isinstance(negative, NegativePrompt)
    assert negative.text == "cat, x, dog"
    assert len(SAFREE(negative=False).run(model, CAT).hooks) == 1


def test_the_filter_is_another_for_styles(model: Any) -> None:
    assert (guard_of(SAFREE(), model, CAT).slope, guard_of(SAFREE(), model, CAT).middle) == (
        2.5, 5.333)  # fmt: skip
    style = guard_of(SAFREE(), model, SKETCH)
    assert (style.slope, style.middle) == (3.5, 5.5)
    assert guard_of(SAFREE(slope=1.0), model, SKETCH).slope == 1.0
    assert guard_of(SAFREE(), model, SKETCH, CAT).slope == 2.5


def test_what_cannot_be_is_refused(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSetting, match="alpha"):
        SAFREE(alpha=-1.0).run(model, CAT)
    monkeypatch.setattr(type(model), "null", lambda self, n=1: None)
    with pytest.raises(Unsupported, match="guided away from"):
        SAFREE().run(model, CAT)
    assert SAFREE(negative=False).run(model, CAT).hooks
