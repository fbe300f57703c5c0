"""Hooks as a registered name, JSON settings and tensors: no code in a file.

A hook is a frozen dataclass. Its fields of type ``Tensor``, ``Tensor | None`` and
``Mapping[str, Tensor]`` are tensors, called ``field`` and ``field/key``; all others are settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from excise import registry
from excise.errors import BadFile, UnknownName, UserError
from excise.settings import recipe
from excise.types import Hook

Place = Literal["one", "many"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Packed:
    """A hook as it stands in a file."""

    name: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def to_json(self) -> dict[str, Any]:
        """All but the tensors' values: their names, so that a missing one is seen."""
        return {"name": self.name, "settings": self.settings, "tensors": sorted(self.tensors)}


def pack(hook: Hook) -> Packed:
    """Take a hook apart.

    Raises:
        UserError: it is no dataclass. BadSetting: it holds something that is neither JSON nor a
            tensor.
    """
    cls = type(hook)
    if not hasattr(cls, "__dataclass_fields__"):
        raise UserError(
            f"expected a hook that is a frozen dataclass, got {cls.__name__}; "
            "an edit keeps the fields of a hook, so make them fields"
        )
    places = _places(cls)
    tensors: dict[str, Tensor] = {}
    for field, place in places.items():
        value = getattr(hook, field)
        if place == "many":
            tensors |= {f"{field}/{key}": tensor for key, tensor in value.items()}
        elif value is not None:
            tensors[field] = value
    return Packed(
        name=str(getattr(cls, "name", cls.__qualname__)),
        settings=recipe(hook, without=places),
        tensors={name: value.detach().to("cpu").contiguous() for name, value in tensors.items()},
    )


def holds_tensors(hook: Hook) -> bool:
    """Does it hold any, so that it was fitted to something? False for what cannot be packed."""
    cls = type(hook)
    if not hasattr(cls, "__dataclass_fields__"):
        return False
    values = [getattr(hook, field) for field in _places(cls)]
    return any(value is not None and not (isinstance(value, Mapping) and not value)
               for value in values)  # fmt: skip


def registered(hook: Hook) -> bool:
    """Does the hook's name lead back to its class, so that a file with it can be read?"""
    try:
        return bool(registry.get("hook", str(getattr(type(hook), "name", ""))) is type(hook))
    except UnknownName:
        return False


def unpack(name: str, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Hook:
    """Put a hook together.

    Raises:
        UnknownName: no hook has the name. BadSetting: the settings are not its own.
        BadFile: tensors are missing or left over.
    """
    cls = registry.get("hook", name)
    values: dict[str, Any] = dict(settings)
    left = dict(tensors)
    for field, place in _places(cls).items():
        if place == "many":
            keys = [key for key in left if key.startswith(f"{field}/")]
            values[field] = {key[len(field) + 1 :]: left.pop(key) for key in keys}
        elif field in left:
            values[field] = left.pop(field)
    if left:
        raise BadFile(
            f"expected no more tensors for the hook {name!r}, got {sorted(left)}; the file was "
            "made with another version of it: make the edit again or install that version"
        )
    hook = registry.build(cls, values)
    if not isinstance(hook, Hook):
        raise UserError(f"expected {name!r} to be a subclass of excise.types.Hook, got {cls}")
    return hook


def _places(cls: type[Any]) -> dict[str, Place]:
    """The fields that are tensors."""
    hints = get_type_hints(cls)
    found = {f.name: _place(hints[f.name]) for f in dataclasses.fields(cls) if f.init}
    return {name: place for name, place in found.items() if place is not None}


def _place(hint: Any) -> Place | None:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Tensor or (origin in (Union, UnionType) and Tensor in args):
        return "one"
    mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return "many" if mapping and args[1] is Tensor else None
