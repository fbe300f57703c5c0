"""Models, edits and their records from whatever names them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from excise.edit import Edit
from excise.edit.file import record_folder
from excise.errors import BadFile, BadSetting, suggest
from excise.models.base import DiffusionModel
from excise.models.load import load as load_model
from excise.store import load_tensors, read_json, save_tensors, write_json
from excise.suite.history import History
from excise.types import TextToImage

Source = str | os.PathLike[str] | Any
"""A model's name, folder, file or hub id, a pipeline, or a model that was loaded before."""

EditSource = Edit | str | os.PathLike[str]

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def load(
    source: Source,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> TextToImage:
    """A model behind the seam.

    source: the name of an embedded model, a folder in the diffusers layout, a ``.safetensors``
        file, an id on the hub, or a pipeline, which is used as it is and never changed for good.
    device: left out, a CUDA device if there is one, else the CPU. dtype: left out, float32.

    Raises:
        UnknownName, BadFile, Unsupported, UserError: as `excise.models.load`.
        BadSetting: another dtype than float32, float16 and bfloat16.
    """
    if isinstance(source, DiffusionModel):
        return source
    kind = dtype
    if isinstance(kind, str):
        if kind not in DTYPES:
            raise BadSetting(
                f"expected a dtype among {', '.join(DTYPES)}, got {kind!r}: {suggest(kind, DTYPES)}"
            )
        kind = DTYPES[kind]
    return load_model(source, device=device, dtype=kind)


def edit_of(source: EditSource) -> Edit:
    """An edit, or that in a file."""
    return source if isinstance(source, Edit) else Edit.load(Path(source))


def history_of(source: EditSource | None) -> History:
    """The record beside an edit's file, or that in which it was kept; empty if there is none."""
    if source is None or isinstance(source, Edit):
        return History()
    own = record_folder(Path(source))
    around = Path(source).absolute().parent  # where both ends of an infeasible search are kept
    folders = [own, around] if around.suffix == own.suffix else [own]
    folder = next((one for one in folders if (one / "record.json").exists()), None)
    if folder is None:
        return History()
    record = read_json(folder / "record.json")
    if not isinstance(record, dict):
        raise BadFile(f"expected a JSON object in {folder / 'record.json'}; erase again")
    table = folder / "record.safetensors"
    tensors = load_tensors(table)[0] if table.exists() else {}
    return History(record=record, tensors=tensors)


def keep_history(path: Path, history: History) -> Path:
    """Write the record beside an edit's file; the folder. It must not be released with the edit."""
    folder = record_folder(path)
    write_json(folder / "record.json", dict(history.record))
    table = folder / "record.safetensors"
    if history.tensors:
        save_tensors(table, dict(history.tensors))
    else:
        table.unlink(missing_ok=True)
    return folder
