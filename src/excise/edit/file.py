"""Edits in files.

``NAME.safetensors`` holds tensors under canonical names, each dense (``name``), low rank
(``name#up``, ``name#down``) or sparse (``name#index``, ``name#value``), the hooks' under
``hook/0/...``, and one key of metadata with canonical JSON. ``NAME.record/`` beside it holds what
a report needs and what must not be handed on with the edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from excise.edit.base import Base, BaseTensor
from excise.edit.encodings import Encoded, decode
from excise.edit.packing import Packed, pack, registered, unpack
from excise.edit.recipe import Recipe
from excise.edit.value import Edit
from excise.errors import BadFile, BadSetting, NumericalError, UnknownName, UserError
from excise.store import Json, load_tensors, save_tensors
from excise.types import Hook

FORMAT = "excise.edit/1"
SUFFIX = ".safetensors"


def record_folder(path: Path | str) -> Path:
    """The folder ``NAME.record`` beside ``NAME.safetensors``; it need not be there."""
    return Path(path).with_suffix(".record")


def save(edit: Edit, path: Path) -> None:
    """See `Edit.save`."""
    if path.suffix != SUFFIX:
        raise BadFile(f"expected a name that ends in {SUFFIX} for an edit, got {path.name!r}")
    strangers = [type(hook).__name__ for hook in edit.hooks if not registered(hook)]
    if strangers:
        raise UserError(
            f"expected hooks that can be found by name when the file is read, got {strangers}; put "
            "each into excise/hooks/, or name it in your package's entry points excise.hooks"
        )
    hooks = [pack(hook) for hook in edit.hooks]
    tensors = {
        f"{name}#{suffix}" if suffix else name: part
        for name, delta in edit.deltas.items()
        for suffix, part in delta.parts.items()
    }
    tensors |= {f"hook/{i}/{n}": t for i, hook in enumerate(hooks) for n, t in hook.tensors.items()}
    if edit._making is not None:  # first, so that no edit lies there without it
        edit._making.save(record_folder(path))
    save_tensors(path, tensors, _meta(edit, hooks))


def load(path: Path) -> Edit:
    """See `Edit.load`."""
    tensors, meta = load_tensors(path)
    _check_format(path, meta)
    try:
        base = _base(meta["base"])
        recipe = Recipe.from_json(meta["recipe"])
        packed = [(str(h["name"]), dict(h["settings"]), set(h["tensors"])) for h in meta["hooks"]]
        kind = str(meta["kind"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(
            f"expected {path} to hold an edit, but its record is damaged ({error!r}); "
            "write or download it again"
        ) from error
    deltas = _deltas(path, base, {n: t for n, t in tensors.items() if not n.startswith("hook/")})
    hooks = []
    for i, (name, settings, names) in enumerate(packed):
        start = f"hook/{i}/"
        own = {n[len(start) :]: t for n, t in tensors.items() if n.startswith(start)}
        _same_names(path, own.keys(), names, f"hook {i} ({name})")
        hooks.append(_hook(path, name, settings, own))
    numbers = {n.split("/")[1] for n in tensors if n.startswith("hook/")}
    _same_names(path, numbers - {str(i) for i in range(len(packed))}, set(), "hooks")
    try:
        edit = Edit(deltas=deltas, hooks=tuple(hooks), recipe=recipe, base=base)
    except NumericalError as error:
        raise BadFile(f"{path} holds numbers that are not finite; write it again") from error
    if edit.kind != kind:
        raise BadFile(f"expected {path} to hold a {kind}, got a {edit.kind}; write it again")
    return edit


def _meta(edit: Edit, hooks: list[Packed]) -> dict[str, Json]:
    base: dict[str, Json] = {
        "name": edit.base.name,
        "family": edit.base.family,
        "tensors": _records(edit.base.tensors),
    }
    if edit.base.read:  # only where there is any, so that other files keep their bytes
        base["read"] = _records(edit.base.read)
    half = any(delta.dtype == torch.float16 for delta in edit.deltas.values())
    return {
        "format": FORMAT,
        "kind": edit.kind,
        "dtype": "float16" if half else "float32",
        "recipe": edit.recipe.to_json(),
        "hooks": [hook.to_json() for hook in hooks],
        "base": base,
    }


def _records(records: Mapping[str, BaseTensor]) -> dict[str, Json]:
    return {name: record.to_json() for name, record in records.items()}


def _base(data: Mapping[str, Any]) -> Base:
    parts = {
        part: {str(name): BaseTensor.from_json(one) for name, one in dict(rows).items()}
        for part, rows in (("tensors", data["tensors"]), ("read", data.get("read", {})))
    }
    return Base(name=str(data["name"]), family=str(data["family"]), **parts)


def _check_format(path: Path, meta: Any) -> None:
    found = meta.get("format") if isinstance(meta, dict) else None
    if found == FORMAT:
        return
    if str(found).startswith("excise.edit/"):
        raise BadFile(
            f"expected an edit in the format {FORMAT}, but {path} is in {found}; "
            "install the version of Excise that wrote it, or make the edit again"
        )
    raise BadFile(
        f"expected an edit, but {path} holds other tensors; to make an edit of a fine-tuned model "
        "and its base, load both and use Edit.between(base, edited)"
    )


def _deltas(path: Path, base: Base, tensors: Mapping[str, Tensor]) -> dict[str, Encoded]:
    parts: dict[str, dict[str, Tensor]] = {}
    for full, tensor in tensors.items():
        name, _, suffix = full.partition("#")
        parts.setdefault(name, {})[suffix] = tensor
    _same_names(path, parts.keys(), set(base.tensors), "deltas")
    found: dict[str, Encoded] = {}
    for name, own in parts.items():
        try:
            found[name] = decode(own, base.tensors[name].shape)
        except ValueError as error:
            raise BadFile(f"{name} in {path} is damaged: {error}; write it again") from error
    return found


def _hook(path: Path, name: str, settings: dict[str, Any], tensors: dict[str, Tensor]) -> Hook:
    try:
        return unpack(name, settings, tensors)
    except UnknownName as error:
        raise UnknownName(
            f"{path} needs a hook that is not installed: {error}; "
            "install the package, or the version of Excise, that the edit was made with"
        ) from error
    except BadSetting as error:
        raise BadFile(f"a hook in {path} cannot be made: {error}; make the edit again") from error


def _same_names(path: Path, found: Any, expected: set[str], what: str) -> None:
    missing, extra = sorted(expected - set(found)), sorted(set(found) - expected)
    if missing or extra:
        raise BadFile(
            f"expected the tensors of {what} in {path} to be those of its record, got "
            f"{len(missing)} missing {missing[:3]} and {len(extra)} more {extra[:3]}; "
            "write or download it again"
        )
