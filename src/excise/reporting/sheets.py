"""The raw scores of every class for every picture that a section of the report counts.

They lie beside the table of scores, in the same file: one matrix a section and model, (n, labels).
With them whatever depends on more than one label can be found again at another threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from excise.primitives.panel import Sheet
from excise.primitives.probe import Look

PREFIX = "sheet/"
SECTIONS = ("plain use", "two objects", "kept")
"""Those whose every picture has its scores here."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreSheet:
    """What the judges say of one model's pictures of one section.

    sheet: one row a picture, the judge that counts first. groups, asked, prompts, seeds: of each
    picture, as its shot has them; asked is the label that the section counts.
    """

    section: str
    arm: str
    sheet: Sheet
    groups: tuple[str, ...]
    asked: tuple[str, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]

    @staticmethod
    def of(section: str, arm: str, look: Look) -> ScoreSheet:
        """What a look holds, without its pictures."""
        shots = look.probe.shots
        return ScoreSheet(
            section=section,
            arm=arm,
            sheet=look.sheet,
            groups=tuple(shot.group for shot in shots),
            asked=tuple(shot.label for shot in shots),
            prompts=tuple(shot.prompt.text for shot in shots),
            seeds=tuple(shot.seed for shot in shots),
        )

    def take(self, groups: Sequence[str]) -> Sheet:
        """The rows of some groups."""
        return self.sheet.take([i for i, group in enumerate(self.groups) if group in set(groups)])


def packed(sheets: Sequence[ScoreSheet]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Tensors and JSON values of sheets; what models share is written once."""
    tensors = {f"{PREFIX}{i}": one.sheet.values.float() for i, one in enumerate(sheets)}
    rows: list[dict[str, Any]] = []
    known: dict[str, int] = {}
    for i, one in enumerate(sheets):
        columns = {
            "groups": list(one.groups),
            "asked": list(one.asked),
            "prompts": list(one.prompts),
            "seeds": list(one.seeds),
        }
        row: dict[str, Any] = {"section": one.section, "arm": one.arm, **one.sheet.record()}
        first = known.setdefault(one.section, i)
        if first != i and rows[first]["columns"] == columns:
            rows.append({**row, "as": first})
        else:
            rows.append({**row, "columns": columns})
    return tensors, rows


def unpacked(
    tensors: Mapping[str, Tensor], rows: Sequence[Mapping[str, Any]]
) -> tuple[ScoreSheet, ...]:
    """What `packed` wrote. Raises KeyError, IndexError or ValueError for anything else."""
    found = []
    for i, row in enumerate(rows):
        columns = rows[row["as"]]["columns"] if "as" in row else row["columns"]
        values = tensors[f"{PREFIX}{i}"]
        sizes = {len(values), *(len(column) for column in columns.values())}
        if len(sizes) > 1 or values.shape[1:] != (len(row["labels"]),):
            raise ValueError(f"scores of shape {tuple(values.shape)} and columns of {sizes}")
        found.append(
            ScoreSheet(
                section=row["section"],
                arm=row["arm"],
                sheet=Sheet.of(values, row),
                groups=tuple(columns["groups"]),
                asked=tuple(columns["asked"]),
                prompts=tuple(columns["prompts"]),
                seeds=tuple(columns["seeds"]),
            )
        )
    return tuple(found)
