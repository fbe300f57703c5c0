"""Models, edits and their records from whatever names them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from excise.edit import Edit, Making
from excise.errors import BadSetting, suggest
from excise.models.base import DiffusionModel
from excise.models.load import load as load_model
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
    """The record of an edit, of which one that was just made or read knows; empty without one."""
    if source is None:
        return History()
    found = source.making if isinstance(source, Edit) else Making.beside(Path(source))
    return History() if found is None else History(record=found.record, tensors=found.tensors)
