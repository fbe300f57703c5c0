"""The JSON schema of ``report.json``; the package ships it as ``report.schema.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from excise.reporting.record import FORMAT, Record
from excise.reporting.verdict import Verdict

FILE = Path(__file__).with_name("report.schema.json")


def schema() -> dict[str, Any]:
    """The schema, made from the classes."""
    refs, whole = models_json_schema([(Record, "serialization"), (Verdict, "serialization")])
    definitions = whole["$defs"]
    record = definitions.pop(Record.__name__)
    verdict = refs[Verdict, "serialization"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": FORMAT,
        **record,
        "properties": {**record["properties"], "verdict": verdict},
        "required": [*record["required"], "verdict"],
        "$defs": definitions,
    }


def text() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=1, sort_keys=True, ensure_ascii=True) + "\n"


if __name__ == "__main__":  # python -m excise.reporting.schema
    FILE.write_text(text(), encoding="utf-8")
