"""Every method is tried as often, under settings that it has; what wins keeps what it must."""

from __future__ import annotations

from typing import Any

import pytest
from rivals import RIVALS, TRIED, best

from excise import registry
from excise.settings import build


def point(concept: str, name: str, left: float, kept: float, plain: float = 0.0) -> dict[str, Any]:
    return {
        "concept": concept, "settings": {"lr": name}, "plain": plain, "kept": kept,
        "rungs": {"t4": {"base": 0.9, "edit": left}},
    }  # fmt: skip


def test_every_method_but_the_default_is_tried_as_often() -> None:
    assert set(RIVALS) == set(registry.names("eraser")) - {"task_vector"}
    for method, tried in RIVALS.items():
        kind = registry.get("eraser", method)
        assert len({repr(build(kind, own)) for own in tried}) == TRIED, method


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


def test_where_none_keeps_enough_the_one_that_keeps_most_is_best() -> None:
    rows = [point("cat", "harsh", 0.0, 0.7), point("cat", "fair", 0.3, 0.9)]
    assert best(rows)["settings"] == {"lr": "fair"}
    with pytest.raises(ValueError, match="rows of a method"):
        best([])
