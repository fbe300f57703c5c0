from __future__ import annotations

import inspect
import re

import pytest

from excise import errors
from excise.errors import ExciseError, Infeasible, UnknownName, suggest, unknown

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ExciseError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_drawn_tree_is_the_tree(cls: type[ExciseError]) -> None:
    line = re.search(rf"^\s*([│├└─ ]*){cls.__name__} +(\d) ", errors.__doc__ or "", re.MULTILINE)
    assert line is not None, f"{cls.__name__} is not drawn"
    assert int(line[2]) == cls.exit_code
    depth = len(line[1]) // 4
    assert depth == len(cls.__mro__) - len(ExciseError.__mro__)


def test_a_message_is_one_line() -> None:
    assert str(ExciseError("one\n  two\tthree")) == "one two three"


@pytest.mark.parametrize(
    ("asked", "close"),
    [("concept inversion", "concept_inversion"), ("Concept-Inversion", "concept_inversion"),
     ("esdd", "esd"), ("ESD", "esd")],
)  # fmt: skip
def test_close_names_are_offered(asked: str, close: str) -> None:
    error = unknown("method", asked, {"esd", "concept_inversion", "uce"})
    assert isinstance(error, UnknownName)
    assert f"did you mean '{close}'" in str(error)


def test_all_names_are_offered_if_none_is_close() -> None:
    assert suggest("zzz", ["b", "a", "a"]) == "known: a, b"
    assert suggest("zzz", []) == "there are none"
    assert suggest("zzz", [f"n{i:02}" for i in range(20)]).endswith("and 8 more")


def test_infeasible_carries_both_ends() -> None:
    error = Infeasible("none", details={"alpha_E": 2.0, "alpha_K": 1.0})
    assert error.details == {"alpha_E": 2.0, "alpha_K": 1.0}
    assert error.exit_code == 3
