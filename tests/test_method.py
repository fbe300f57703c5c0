from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar, get_args

import pytest

from excise.attacks.base import Attack
from excise.erasers.base import Eraser
from excise.errors import BadSetting
from excise.method import Budget, Method


@dataclass(frozen=True, kw_only=True)
class Toy(Method):
    name: ClassVar[str] = "toy"
    paper: ClassVar[str] = "none"
    measured: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "family": {"steps": 3, "big_word": "family"},
        "model": {"big_word": "model"},
    }

    steps: int = 1
    big_word: str = "paper"

    def within(self, budget: Budget) -> Mapping[str, object]:
        return {} if budget == "standard" else {"steps": 10 * self.steps}


def model(name: str, family: str) -> Any:
    return SimpleNamespace(name=name, family=family)


def test_what_was_measured_for_the_name_comes_after_the_family_and_what_is_given_last() -> None:
    assert Toy.fitted(model("other", "other")) == Toy()
    assert Toy.fitted(model("other", "family")) == Toy(steps=3, big_word="family")
    assert Toy.fitted(model("model", "family")) == Toy(steps=3, big_word="model")
    given = {"big-word": "given", "steps": "4"}
    assert Toy.fitted(model("model", "family"), given) == Toy(steps=4, big_word="given")
    with pytest.raises(BadSetting, match="'big_word'"):
        Toy.fitted(model("model", "family"), {"bigword": "x"})


def test_a_budget_sets_its_fields_and_no_others() -> None:
    assert Toy(big_word="x").at("standard") == Toy(big_word="x")
    assert Toy(steps=2, big_word="x").at("quick") == Toy(steps=20, big_word="x")
    with pytest.raises(BadSetting, match="budget among .*'quick'.* did you mean 'quick'"):
        Toy().at("quik")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Eraser, Attack])
def test_erasers_and_attacks_have_one_implementation(kind: type[Method]) -> None:
    assert {"fitted", "at"}.isdisjoint(vars(kind))
    assert get_args(Budget) == ("quick", "standard", "thorough")
