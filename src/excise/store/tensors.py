"""Tensors in safetensors files, with one key of metadata that holds canonical JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor

from excise.errors import BadFile
from excise.store.files import Json, atomic, canonical, explain, explain_reading

# One key: safetensors writes several in an order that changes from process to process.
_META = "excise"

_CONVERT = (
    "Excise never unpickles. If you trust the file, convert it first: python -c "
    '"import torch; from safetensors.torch import save_file; '
    "d = torch.load('{name}', map_location='cpu', weights_only=True); "
    "d = d.get('state_dict', d); "
    "save_file({{k: v.contiguous() for k, v in d.items()}}, '{stem}.safetensors')\""
)

# The first bytes of what people hand over by mistake: (bytes, what it is, what to do).
_KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes", _CONVERT),
    (b"\x80\x02", "a pickle", _CONVERT),
    (b"\x80\x03", "a pickle", _CONVERT),
    (b"\x80\x04", "a pickle", _CONVERT),
    (b"\x80\x05", "a pickle", _CONVERT),
    (b"version https://git-lfs", "a git-lfs pointer", "fetch the file itself: git lfs pull"),
    (b"GGUF", "a GGUF file", "give the model's safetensors weights"),
    (b"<", "a web page or XML", "download the file itself, not the page about it"),
)


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """What a stage or a cache keeps: tensors by name, and a JSON record."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    record: Any = None


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], meta: Json = None) -> None:
    """Write tensors and one JSON value to a safetensors file, whole or not at all.

    The same tensors and `meta` give the same bytes. Tensors that share memory are written apart.

    Raises:
        ResourceError: no room, no permission.
        BadFile: `path` cannot be a file.
        ValueError, TypeError: `meta` is not JSON.
    """
    text = canonical(meta)
    seen: set[int] = set()
    ready: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        if plain.untyped_storage().data_ptr() in seen:  # safetensors refuses shared memory
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        ready[name] = plain
    with atomic(path) as temporary:
        try:
            save_file(ready, temporary, metadata={_META: text})
        except SafetensorError as error:
            explain_library(error, Path(path))


def load_tensors(path: Path | str, device: str = "cpu") -> tuple[dict[str, Tensor], Any]:
    """The tensors of a safetensors file, and its JSON value (None if Excise did not write it).

    Raises:
        BadFile: missing, damaged, cut short, or of another format: then with how to convert it.
    """
    file = _open(Path(path), device)
    with file:
        try:
            return {name: file.get_tensor(name) for name in file.keys()}, _meta(file, path)  # noqa: SIM118
        except SafetensorError as error:
            raise _damaged(path, error) from error


def tensors_of(data: bytes, name: str) -> tuple[dict[str, Tensor], Any]:
    """As `load_tensors`, from a file's bytes. name: what an error calls them.

    Raises:
        BadFile: damaged, cut short, or of another format.
    """
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")  # of the header, which is JSON
        text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(_META)
        return tensors, None if text is None else json.loads(text)
    except (SafetensorError, ValueError) as error:
        raise _damaged(name, error) from error


def read_meta(path: Path | str) -> Any:
    """The JSON value of a safetensors file without its tensors; None if there is none.

    Raises:
        BadFile: as `load_tensors`.
    """
    with _open(Path(path), "cpu") as file:
        return _meta(file, path)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of names, dtypes, shapes and bytes; the order does not matter."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        head = json.dumps([name, str(tensor.dtype), list(tensor.shape)])
        total.update(head.encode("ascii"))
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)  # (bytes,)
    return total.hexdigest()


def explain_library(error: SafetensorError, path: Path) -> NoReturn:
    """Raise what an error of the safetensors library, met in writing `path`, means to a user."""
    # The library turns the system's refusal into text; turn it back.
    found = re.search(r"os error (\d+)", str(error))
    explain(OSError(int(found[1]) if found else errno.EIO, str(error)), path)


def _open(path: Path, device: str) -> Any:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        explain_reading(error, path)
    if not head:
        raise BadFile(f"{path} is empty; write or download it again")
    # After the length of the header, whose own bytes may look like any magic, there is its brace.
    for magic, what, cure in _KNOWN if head[8:9] != b"{" else ():
        if head.lstrip().startswith(magic) if magic == b"<" else head.startswith(magic):
            advice = cure.format(name=path, stem=path.with_suffix(""))
            raise BadFile(f"expected a safetensors file, but {path} is {what}. {advice}")
    try:
        return safe_open(path, framework="pt", device=device)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _meta(file: Any, path: Path | str) -> Any:
    text = (file.metadata() or {}).get(_META)
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path | str, error: Exception) -> BadFile:
    return BadFile(
        f"expected a safetensors file, but {path} is damaged, cut short or of another format "
        f"({error}); write or download it again"
    )
