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
        "model/style": {"steps": 5},
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
    assert Toy.fitted(model("model", "family"), kind="style") == Toy(steps=5, big_word="model")
    assert Toy.fitted(model("other", "family"), kind="style") == Toy(steps=3, big_word="family")


def test_a_budget_sets_its_fields_and_no_others() -> None:
    assert Toy(big_word="x").at("standard") == Toy(big_word="x")
    assert Toy(steps=2, big_word="x").at("quick") == Toy(steps=20, big_word="x")
    with pytest.raises(BadSetting, match="budget among .*'quick'.* did you mean 'quick'"):
        Toy().at("quik")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Eraser, Attack])
def test_erasers_and_attacks_have_one_implementation(kind: type[Method]) -> None:
    assert {"fitted", "at"}.isdisjoint(vars(kind))
    assert get_args(Budget) == ("quick", "standard", "thorough")


@dataclass(frozen=True, kw_only=True)
class Ranged(Toy):
    lr: float | None = None
    scales: tuple[float, ...] = (0.0, 1.0)
    share: float = 0.5
    kind: str = "a"

    def __post_init__(self) -> None:
        self._positive("lr")
        self._at_least(1, "steps")
        self._at_least(0, "scales")
        self._shares("share")
        self._among("kind", ("a", "b"))


@pytest.mark.parametrize(
    ("bad", "wanted"),
    [
        ({"lr": 0.0}, "lr > 0, got 0.0"),
        ({"lr": float("nan")}, "lr > 0, got nan"),
        ({"steps": 0}, "steps >= 1, got 0"),
        ({"scales": (1.0, -1.0)}, "scales >= 0"),
        ({"scales": ()}, "scales >= 0"),
        ({"share": 1.5}, "share in .0, 1., got 1.5"),
        ({"kind": "c"}, "kind among .'a', 'b'., got 'c'"),
    ],
)
def test_values_out_of_range_are_refused_in_the_same_words(
    bad: dict[str, Any], wanted: str
) -> None:
    assert Ranged(lr=1.0, scales=(0.0,), share=1.0, kind="b").lr == 1
    assert Ranged().lr is None  # left to the method
    with pytest.raises(BadSetting, match=f"toy: expected {wanted}"):
        Ranged(**bad)
