from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from excise.errors import BadSetting
from excise.settings import Setting, build, describe, recipe, split


@dataclass(frozen=True, kw_only=True)
class Method:
    name: ClassVar[str] = "method"

    steps: int = 200
    lr: float = 1e-4
    blocks: tuple[str, ...] = ("down", "mid")
    window: tuple[int, float] | None = None
    target: Literal["null", "anchor"] = "null"
    rank: Literal[4, 8] = 4
    ema: bool = False
    word: str | None = None
    strength: float | str = "search"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"expected steps >= 1, got {self.steps}")


@dataclass(frozen=True, kw_only=True)
class Needs:
    word: str


methods = st.builds(
    Method,
    steps=st.integers(1, 10**9),
    lr=st.floats(allow_nan=False, allow_infinity=False),
    blocks=st.lists(st.from_regex(r"[a-z_.]{1,8}", fullmatch=True), max_size=4).map(tuple),
    window=st.none() | st.tuples(st.integers(), st.floats(-1e6, 1e6)),
    target=st.sampled_from(["null", "anchor"]),
    rank=st.sampled_from([4, 8]),
    ema=st.booleans(),
    word=st.none() | st.sampled_from(["cat", "a word"]),
    strength=st.floats(0, 9) | st.just("search"),
)


@given(methods)
def test_a_recipe_builds_an_equal_method(method: Method) -> None:
    kept = json.loads(json.dumps(recipe(method)))
    assert build(Method, kept) == method


@given(methods)
def test_text_builds_an_equal_method(method: Method) -> None:
    def text(value: object) -> str:
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

    pairs = [f"{name}={text(getattr(method, name))}" for name in recipe(method)]
    assert build(Method, split(pairs)) == method


def test_what_is_not_named_keeps_its_default() -> None:
    assert build(Method, {}) == Method()
    assert build(Method, split(["steps=5", "steps=7"])).steps == 7


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("steps=1e3", "steps to be int, got '1e3'; its default is 200"),
        ("steps=2.5", "steps to be int"),
        ("lr=fast", "lr to be float, got 'fast'"),
        ("lr=nan", "lr to be float"),
        ("ema=maybe", "ema to be bool"),
        ("target=nul", "target to be 'null' | 'anchor', got 'nul'"),
        ("rank=5", "rank to be 4 | 8"),
        ("window=1,2,3", "window to be tuple[int, float] | None"),
        ("step=3", "no setting 'step': did you mean 'steps'?"),
        ("steps=0", "method: expected steps >= 1, got 0"),
    ],
)
def test_a_bad_value_says_what_was_expected(pair: str, expected: str) -> None:
    with pytest.raises(BadSetting) as caught:
        build(Method, split([pair]))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [True, 2.5, [1], None, {"a": 1}])
def test_json_of_the_wrong_type_is_refused(value: object) -> None:
    with pytest.raises(BadSetting):
        build(Method, {"steps": value})


@pytest.mark.parametrize("pair", ["steps", "=3", ""])
def test_a_pair_needs_a_name_and_a_value(pair: str) -> None:
    with pytest.raises(BadSetting, match="expected name=value"):
        split([pair])


def test_a_setting_without_default_must_be_given() -> None:
    with pytest.raises(BadSetting, match="--set word="):
        build(Needs, {})
    assert build(Needs, {"word": "a=b, c"}).word == "a=b, c"
    assert describe(Needs) == (Setting(name="word", type="str", default=None),)


def test_settings_are_described_in_order() -> None:
    rows = describe(Method)
    assert [row.name for row in rows] == list(recipe(Method()))
    assert rows[2] == Setting(name="blocks", type="tuple[str, ...]", default="('down', 'mid')")


def test_dashes_count_as_underscores() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Other:
        learning_rate: float = 1.0

    assert build(Other, split(["learning-rate=2"])).learning_rate == 2.0
