"""What a record says, and that the page shows it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.reporting.test_record import bare

from excise.primitives.kept import Class, Kept
from excise.primitives.strength import Floors, Reading, conclude
from excise.reporting import Estimate, Report, Strength
from excise.stats import Interval, Rate, wilson, wilson_upper
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


def klass(name: str, k: int, n: int, near: bool = False) -> Class:
    """A class that the base always draws."""
    edit = wilson(k, n)
    return Class(name=name, near=near, base=wilson(n, n), edit=edit, ratio=edit.value,
                 high=wilson_upper(k, n, 0.9))  # fmt: skip


def reading(*classes: Class, alpha: float = 1.0) -> Reading:
    mean = sum(row.edit.value for row in classes) / len(classes)
    nothing = Interval(value=0.01, low=0.0, high=0.02, level=0.95)
    left = Kept(mean=mean, lower=0.98, level=0.95, classes=classes, weak=("mouse",),
                nothing=nothing, pictures=100)  # fmt: skip
    return Reading(alpha=alpha, plain=Rate(0, 120), embeddings=(Rate(0, 8),), kept=left)


def shown(*readings: Reading) -> Strength:
    found = conclude(readings, Floors())
    past = strength(History(record={"strength_search": found.to_json()}))
    assert past is not None
    return past


def test_of_the_worst_class_the_page_has_what_the_rule_tests() -> None:
    # Three of four pictures of one class: not shown to be under 80 %. The base hardly draws mice.
    doubtful = reading(klass("dog", 12, 12, near=True), klass("key", 3, 4), klass("mouse", 0, 4))
    lost = reading(klass("dog", 12, 12, near=True), klass("key", 1, 12), alpha=2.0)
    found = shown(doubtful, lost)
    one, two = (point.worst for point in found.points)
    assert one is not None
    assert two is not None
    limit = found.limits["worst"]
    assert one.value == 0.75 < limit
    for point, own in ((one, doubtful), (two, lost)):
        assert point.high == own.kept.least
        assert (point.high >= limit) == own.preserved(Floors())
    assert found.kept_to == 1.0
    text = Report(record=bare(strength=found)).html().replace("\u202f", " ")
    assert one.high is not None
    assert f"75 % (at most {100 * one.high:.0f} %)" in text
    assert "not shown to be under 80" in text
    assert "“Kept” means of the worst class" in text
    assert "at least 80" not in text
    assert "nothing can be recognised in at most 3 points more of them than before" in text
    assert found.points[0].nothing is not None
    assert found.points[0].nothing.value == 0.01


def test_a_record_from_before_bounds_were_kept_has_the_figures() -> None:
    record = conclude((reading(klass("dog", 9, 12, near=True)),), Floors()).to_json()
    for row in record["readings"][0]["kept"]["classes"].values():
        del row["high"]
    del record["readings"][0]["kept"]["nothing"]
    found = strength(History(record={"strength_search": record}))
    assert found is not None
    (point,) = found.points
    assert point.worst == Estimate(value=0.75)
    assert point.nothing is None


def test_a_method_without_a_search_has_no_curve() -> None:
    assert strength(History(record={"strength": 1.0})) is None
