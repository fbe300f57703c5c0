"""Hyperparameters: the fields of a frozen dataclass, from text and JSON, and back to JSON.

The same fields feed the Python API, ``--set name=value``, the recipe in an edit, and the docs.
A field's type is one of bool, int, float, str, ``Literal``, ``X | None``, ``tuple[X, ...]``,
``tuple[X, Y]``, or a union of these.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from excise.errors import BadSetting, suggest

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One hyperparameter of a method, for lists and docs.

    default: as text; None if the setting must be given.
    """

    name: str
    type: str
    default: str | None


def split(pairs: Iterable[str]) -> dict[str, str]:
    """``["steps=200", "lr=1e-4"]`` as a mapping; of a name that is given twice the last one counts.

    Raises:
        BadSetting: there is no ``=``, or no name before it.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise BadSetting(f"expected name=value, got {pair!r}; write, say, --set steps=200")
        found[name.strip()] = value.strip()
    return found


def build(cls: type[T], settings: Mapping[str, object]) -> T:
    """Make a `cls` from settings; text is read by the field's type, JSON values are checked by it.

    Dashes in names count as underscores. Fields that are not named keep their defaults.

    Raises:
        BadSetting: a name that is no field, a value that does not fit, a field without a default
            that is not given, or a value that the class itself refuses with ValueError.
    """
    fields = {f.name: f for f in dataclasses.fields(_dataclass(cls)) if f.init}
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for given, value in settings.items():
        name = given.replace("-", "_")
        if name not in fields:
            raise BadSetting(f"{_called(cls)} has no setting {given!r}: {suggest(name, fields)}")
        try:
            values[name] = _read(value, hints[name])
        except ValueError:
            raise BadSetting(
                f"{_called(cls)}: expected {name} to be {_text(hints[name])}, got {value!r}; "
                f"its default is {_default(fields[name])}"
            ) from None
    missing = [n for n, f in fields.items() if n not in values and _default(f) is None]
    if missing:
        raise BadSetting(f"{_called(cls)} needs {missing[0]}; give it with --set {missing[0]}=...")
    try:
        return cls(**values)
    except ValueError as error:  # what __post_init__ refuses
        raise BadSetting(f"{_called(cls)}: {error}") from error


def recipe(thing: object, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a method as JSON, from which `build` makes an equal one.

    without: fields to leave out, because they are kept as something other than JSON.
    """
    names = [f.name for f in dataclasses.fields(_dataclass(type(thing))) if f.init]
    return {name: _json(getattr(thing, name)) for name in names if name not in without}


def describe(cls: type[Any]) -> tuple[Setting, ...]:
    """The settings that `cls` takes, in the order of its fields."""
    hints = get_type_hints(cls)
    return tuple(
        Setting(name=f.name, type=_text(hints[f.name]), default=_default(f))
        for f in dataclasses.fields(_dataclass(cls))
        if f.init
    )


def _read(value: object, hint: Any) -> Any:
    """`value` as `hint`; ValueError if it does not fit."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        for choice in args:
            if value == choice and type(value) is type(choice):
                return choice
            if isinstance(value, str) and value == str(choice):
                return choice
        raise ValueError(value)
    if origin in (Union, types.UnionType):
        return _first(value, args)
    if origin is tuple:
        return _tuple(value, args)
    if hint is type(None):
        if value is None or (isinstance(value, str) and value.casefold() in ("none", "null")):
            return None
        raise ValueError(value)
    if hint is bool:
        return _bool(value)
    if hint is str:
        if isinstance(value, str):
            return value
        raise ValueError(value)
    if hint in (int, float):
        return _number(value, hint)
    held = hint if origin is None else origin
    if isinstance(held, type) and isinstance(value, held):
        return value  # from Python, for a type that has no text
    raise ValueError(value)


def _first(value: object, choices: tuple[Any, ...]) -> Any:
    # Any text is a str, so str comes last; None comes first, so that "none" can be said.
    for choice in sorted(choices, key=lambda c: (c is str, c is not type(None))):
        try:
            return _read(value, choice)
        except ValueError:
            continue
    raise ValueError(value)


def _tuple(value: object, args: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        text = value.strip().removeprefix("(").removesuffix(")")
        parts: list[object] = [part.strip() for part in text.split(",")] if text.strip() else []
        if parts and parts[-1] == "":
            parts.pop()  # "(1,)" is a tuple of one
    elif isinstance(value, list | tuple):
        parts = list(value)
    else:
        raise ValueError(value)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_read(part, args[0]) for part in parts)
    if len(parts) != len(args):
        raise ValueError(value)
    return tuple(_read(part, arg) for part, arg in zip(parts, args, strict=True))


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.casefold() in ("true", "yes", "on", "1"):
            return True
        if value.casefold() in ("false", "no", "off", "0"):
            return False
    raise ValueError(value)


def _number(value: object, kind: type[int] | type[float]) -> int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(value)
    if kind is int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(value)
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _json(value: object) -> Any:
    if isinstance(value, tuple):
        return [_json(part) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadSetting(f"expected a setting that can be kept as JSON, got {value!r}")


def _text(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(repr(choice) for choice in args)
    if origin in (Union, types.UnionType):
        return " | ".join(_text(choice) for choice in args)
    if origin is tuple:
        return "tuple[" + ", ".join("..." if a is Ellipsis else _text(a) for a in args) + "]"
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))


def _default(field: dataclasses.Field[Any]) -> str | None:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return None


def _called(cls: type[Any]) -> str:
    return str(getattr(cls, "name", cls.__name__))


def _dataclass(cls: type[Any]) -> type[Any]:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"expected a dataclass, got {cls!r}")
    return cls
