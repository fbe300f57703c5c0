"""How an edit was found: what lies beside its file, and stays behind when the file is handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from excise.errors import BadFile
from excise.store import load_tensors, read_json, save_tensors, write_json

RECORD, TENSORS = "record.json", "record.safetensors"


@dataclass(frozen=True, eq=False, kw_only=True)
class Making:
    """The record of a method's work, and the tensors that belong to it.

    Reports need it. It must not be released with the edit: the inputs by which a strength was
    chosen bring the concept back.
    """

    record: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write it into a folder.

        Raises:
            BadFile, ResourceError: it cannot be written.
        """
        write_json(folder / RECORD, dict(self.record))
        table = folder / TENSORS
        if self.tensors:
            save_tensors(table, dict(self.tensors))
        else:
            table.unlink(missing_ok=True)

    @staticmethod
    def beside(path: Path) -> Making | None:
        """That beside an edit's file, or in the folder in which it was kept; None without one.

        Raises:
            BadFile: it is damaged.
        """
        own = path.with_suffix(".record")
        around = path.absolute().parent  # where both ends of an infeasible search are kept
        folders = [own, around] if around.suffix == own.suffix else [own]
        folder = next((one for one in folders if (one / RECORD).exists()), None)
        if folder is None:
            return None
        record = read_json(folder / RECORD)
        if not isinstance(record, dict):
            raise BadFile(f"expected a JSON object in {folder / RECORD}; erase again")
        table = folder / TENSORS
        return Making(record=record, tensors=load_tensors(table)[0] if table.exists() else {})
