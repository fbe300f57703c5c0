from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from excise.errors import BadFile
from excise.reporting import Arm, Rate, RateRow, Record, Report, Subject, schema
from excise.reporting.report import read_record


def bare(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "subject": Subject(concepts=({"name": "cat"},), model="emoji"),
        "arms": (Arm(key="base", label="before", role="base"),),
    }
    return Record(**fields | changes)


def test_json_and_back(report: Report) -> None:
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert read_record(data) == report.record
    assert read_record(Report(record=bare()).to_json()) == bare()


def test_the_shipped_schema_is_that_of_the_classes(report: Report) -> None:
    text = schema.FILE.read_text(encoding="utf-8")
    assert text == schema.text(), "python -m excise.reporting.schema writes it again"
    shipped = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(shipped)
    jsonschema.validate(json.loads(json.dumps(report.to_json())), shipped)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**report.to_json(), "verdict": None}, shipped)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "excise.report/2"}, "excise.report/2"),
        ({"surprise": 1}, "surprise"),
        ({"arms": []}, "expected figures of the arms"),
        ({"subject": {"model": "emoji"}}, "subject.concepts"),
        ({"rates": "many"}, "rates"),
    ],
)
def test_a_damaged_record_is_refused(report: Report, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadFile, match=said):
        read_record({**report.to_json(), **change})


@pytest.mark.parametrize("data", [None, [], "text", {}])
def test_what_is_no_report_is_refused(data: object) -> None:
    with pytest.raises(BadFile, match="excise.report/1"):
        read_record(data)


def test_numbers_that_are_none_are_refused() -> None:
    for value in (float("nan"), float("inf"), 1.2):
        with pytest.raises(ValueError, match="value"):
            Rate(value=value, low=0, high=1, n=3)
    with pytest.raises(ValueError, match="low <= high"):
        Rate(value=0.5, low=0.6, high=0.5, n=3)


def test_figures_of_a_model_that_is_not_named_are_refused() -> None:
    row = RateRow(
        key="plain", label="plain", kind="plain", judge="judge", rates={"edit": Rate.of(0, 9)}
    )
    with pytest.raises(ValueError, match="'edit'"):
        bare(rates=(row,))
