"""What a record says, and that the page shows it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.reporting.test_record import bare

from excise.reporting import Report
from excise.suite.history import History, blocks, strength

ROWS: list[dict[str, Any]] = [
    {"block": "down.1", "norm": 0.31, "gain": 0.034, "cost": 0.003, "kept": True},
    {"block": "mid", "norm": 0.52, "gain": 0.041, "cost": 0.004, "kept": True},
    {"block": "up.2", "norm": 0.24, "gain": 0.002, "cost": 0.006, "kept": False},
]


def test_blocks_of_a_record_are_shown_in_its_order() -> None:
    found = blocks(History(record={"blocks": ROWS}))
    assert found is not None
    assert [row.name for row in found.rows] == ["down.1", "mid", "up.2"]
    assert [row.chosen for row in found.rows] == [True, True, False]
    text = Report(record=bare(blocks=found)).html().replace("\u202f", " ")
    assert "Where in the model" in text
    assert "gain: 0.034" in text
    assert "cost: 0.006" in text
    assert "down.1 and mid" in text
    assert text.index(">down.1<") < text.index(">up.2<")
    assert text.count('class="bar s-edit"') == 2 * 3  # for a wide page and for a phone


def test_a_method_that_looked_at_no_block_has_no_such_section() -> None:
    assert blocks(History()) is None
    assert blocks(History(record={"blocks": []})) is None
    assert "Where in the model" not in Report(record=bare()).html()


def test_a_share_of_more_than_all_is_refused() -> None:
    with pytest.raises(ValidationError):
        blocks(History(record={"blocks": [{**ROWS[0], "norm": 1.2}]}))


def test_a_method_without_a_search_has_no_curve() -> None:
    assert strength(History(record={"strength": 1.0})) is None
