"""The two files that the documentation shows are run as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.suite import two

from excise.attacks.base import run_attack
from excise.settings import build, recipe
from excise.types import Prompt

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The modules of the page, by the first word of their docstrings."""
    found: dict[str, Any] = {}
    for text in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S):
        name = text.split(":")[0].strip('"')
        module = ModuleType(f"shown_{name.lower()}")
        monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look there
        exec(compile(text, str(PAGE), "exec"), module.__dict__)
        found[name] = getattr(module, name)
    return found


def test_the_eraser_gives_an_edit_and_leaves_the_model_alone(shown: dict[str, Any]) -> None:
    cls = shown["Forget"]
    method = cls(**cls.smallest)
    assert build(cls, recipe(method)) == method
    assert cls.paper.startswith("arXiv:")  # as the contract wants it
    model = two.model()
    before = model.fingerprint()
    edit = method.run(model, (two.CAT, two.DOG))
    assert edit.deltas
    assert model.fingerprint() == before


def test_the_attack_is_run_and_judged(shown: dict[str, Any]) -> None:
    cls = shown["Insist"]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|null", cls.paper)  # as the contract wants it
    model = two.model()
    found = run_attack(
        cls(**cls.smallest), model, two.CAT, (Prompt("a picture"),), two.Two(),
        select_seeds=(1, 2), score_seeds=(3, 4),
    )  # fmt: skip
    texts = [one[0].prompts[0].text for one in found.requests]
    assert texts == ["a picture, cat", "a picture, cat, cat"]
    assert 0 <= found.rate <= 1
