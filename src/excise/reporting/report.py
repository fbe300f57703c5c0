"""The report as a value: the record, its pictures, and its table of scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from excise.errors import BadFile, UserError
from excise.reporting import images
from excise.reporting.record import FORMAT, Record
from excise.reporting.tables import Scores
from excise.reporting.thresholds import at_threshold
from excise.reporting.verdict import Verdict, verdict
from excise.store import read_json, write_bytes, write_text

SCORES = "scores.safetensors"


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """The record of what was done and found.

    record: everything that is a number or a text. pictures: by the path in the record, uint8
    (n, 3, h, w). scores: one row for each look of a judge at a picture.
    """

    record: Record
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    scores: Scores | None = None

    @cached_property
    def verdict(self) -> Verdict:
        """What the first screen says."""
        return verdict(self.record)

    def to_json(self) -> dict[str, Any]:
        """What ``report.json`` holds: the record, and the verdict that follows from it."""
        found = self.verdict.model_dump(mode="json")
        return {**self.record.model_dump(mode="json"), "verdict": found}

    def html(self) -> str:
        """The page: one text that needs no other file."""
        from excise.reporting.html import render

        return render(self)

    def at(self, threshold: float) -> Report:
        """The report with the judge's threshold for the concept moved; says so in its checks.

        Checks that follow from rates are left out; `excise.report` raises them again.

        Raises:
            UserError: there is no table of scores. As `at_threshold`.
        """
        if self.scores is None:
            raise UserError(
                f"expected {SCORES} beside the report, found none; a threshold can be changed "
                "only with the table of scores"
            )
        return replace(self, record=at_threshold(self.record, self.scores, threshold))

    def save(self, folder: Path | str) -> Path:
        """Write ``report.html``, ``report.json``, the scores and ``images/``; the page's path.

        Raises:
            BadFile, ResourceError: the folder cannot be written to.
        """
        goal = Path(folder)
        for group in self.record.pictures:
            for name in group.sheets.values():
                if name in self.pictures:
                    write_bytes(goal / name, images.sheet(self.pictures[name], group.columns))
        record = self.record
        if self.scores is not None:
            self.scores.save(goal / SCORES)
            record = record.model_copy(update={"scores": SCORES})
        whole = replace(self, record=record)
        # In the order of the fields, which is the order to read them in.
        text = json.dumps(whole.to_json(), indent=1, ensure_ascii=True, allow_nan=False)
        write_text(goal / "report.json", text + "\n")
        write_text(goal / "report.html", whole.html())
        return goal / "report.html"

    @staticmethod
    def load(path: Path | str) -> Report:
        """Read what `save` wrote. Pictures or scores that are not there are left out.

        path: the folder, or the ``report.json`` in it.

        Raises:
            BadFile: missing, damaged or of another format.
        """
        file = Path(path)
        if file.is_dir():
            file = file / "report.json"
        record = read_record(read_json(file))
        table = file.parent / SCORES
        return Report(
            record=record,
            pictures=images.read_sheets(record, file.parent),
            scores=Scores.load(table) if record.scores and table.exists() else None,
        )


def read_record(data: object) -> Record:
    """The record that `Report.to_json` gave; the verdict is found again. Raises BadFile."""
    found = data.get("format") if isinstance(data, dict) else None
    if not isinstance(data, dict) or found != FORMAT:
        raise BadFile(
            f"expected a report in the format {FORMAT}, got {found!r}; name a report.json, or "
            "install the version of Excise that wrote it"
        )
    try:
        # By way of text, where a list may stand for a tuple.
        fields = {name: value for name, value in data.items() if name != "verdict"}
        return Record.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise BadFile(
            f"expected a report in the format {FORMAT}, but {place}: {first['msg']}; evaluate again"
        ) from error
