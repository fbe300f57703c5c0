"""The files that the documentation shows are run as they stand."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.suite import two

from excise.attacks.base import run_attack
from excise.primitives.finetune import finetune
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


def test_every_primitive_of_the_page_is_there() -> None:
    text = PAGE.read_text()
    named = re.findall(r"`(excise\.primitives\.[\w.]+\.\w+)`", text)
    for path in named:
        _, _, module, *rest = path.split(".")
        found: Any = import_module(f"excise.primitives.{module}")
        for name in rest:
            found = getattr(found, name)
    _, _, rest_of_page = text.partition("`excise.primitives.finetune.finetune`")
    for setting in re.findall(r"`(\w+)=`", rest_of_page):
        assert setting in inspect.signature(finetune).parameters
    assert len(named) >= 5


def test_the_metric_has_one_figure_a_model(shown: dict[str, Any]) -> None:
    cls = shown["Brightness"]
    metric = cls(pictures=2)
    found = metric.measure(two.model(), two.model(), two.CAT, judge=two.Two())
    assert cls.want == "high"
    figures = metric.figures(found)
    assert set(figures) == {"edit", "base"}
    assert 0 < figures["edit"]["low"] <= figures["edit"]["value"] < 1
