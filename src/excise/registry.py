"""Kind and name to class. A method is added in one file; nothing else is to be edited.

A plugin is a module in its kind's folder with one public class whose body says
``name: ClassVar[str] = "<the file's name>"``; its fields are its hyperparameters. The sources in
the folder are read whenever one asks, so a list of names costs no import of torch.

A plugin may live in somebody's own package too, as an entry point in the group named after the
kind's folder::

    [project.entry-points."excise.erasers"]
    mine = "my_package.my_module:MyEraser"
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from excise.errors import BadSetting, UserError, unknown
from excise.settings import build, describe, recipe

Kind = Literal["eraser", "attack", "metric", "judge", "hook", "family", "world"]

KINDS: tuple[Kind, ...] = get_args(Kind)

# The folder of a kind's built-in plugins, and the group of its entry points.
FOLDERS: Mapping[Kind, str] = {
    "eraser": "excise.erasers",
    "attack": "excise.attacks",
    "metric": "excise.metrics",
    "judge": "excise.judges",
    "hook": "excise.hooks",
    "family": "excise.models",
    "world": "excise.worlds",
}

__all__ = ["FOLDERS", "KINDS", "Kind", "build", "create", "describe", "get", "names", "recipe"]


def names(kind: Kind) -> tuple[str, ...]:
    """The names there are of a kind, sorted; nothing is imported.

    Raises:
        UserError: two plugins of one kind have the same name.
    """
    return tuple(sorted(_targets(kind)))


def get(kind: Kind, name: str) -> type[Any]:
    """The class of that kind and name; dashes count as underscores.

    Raises:
        UnknownName: there is none; the message says which come close.
        UserError: an entry point of another package cannot be imported.
    """
    targets = _targets(kind)
    plain = name.replace("-", "_")
    if plain not in targets:
        raise unknown(kind, name, targets)
    module, attribute = targets[plain]
    if module.startswith("excise."):
        return _class(module, attribute)
    try:
        return _class(module, attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"the {kind} {name!r} of another package cannot be loaded ({error}); "
            f"reinstall or remove the package that holds {module}"
        ) from error


def create(kind: Kind, name: str, settings: Mapping[str, object] | None = None) -> Any:
    """An instance of the class of that kind and name, from text or JSON settings.

    Raises:
        UnknownName: as `get`.
        BadSetting: as `excise.settings.build`.
    """
    return build(get(kind, name), settings or {})


def _targets(kind: Kind) -> dict[str, tuple[str, str]]:
    """Name to (module, attribute)."""
    if kind not in FOLDERS:
        raise unknown("kind", kind, FOLDERS)
    folder = FOLDERS[kind]
    found = {module.rpartition(".")[2]: (module, cls) for module, cls in _built_in(folder)}
    for point in importlib.metadata.entry_points(group=folder):
        if point.name in found:
            raise UserError(
                f"two plugins are called {kind} {point.name!r}: {'.'.join(found[point.name])} and "
                f"{point.value}; remove or rename one"
            )
        if not point.attr:
            raise BadSetting(
                f"expected the entry point {point.name!r} of {folder} to be module:Class, "
                f"got {point.value!r}; mend it in its package"
            )
        found[point.name] = (point.module, point.attr)
    return found


def _built_in(folder: str) -> Iterator[tuple[str, str]]:
    """The modules of a folder that are plugins, each with the name of its class."""
    spec = importlib.util.find_spec(folder)
    if spec is None or spec.submodule_search_locations is None:
        return
    for module in pkgutil.iter_modules(spec.submodule_search_locations):
        if module.name.startswith("_"):
            continue
        full = f"{folder}.{module.name}"
        source = _source(module, full)
        classes = plugin_classes(source, module.name) if source else []
        if len(classes) > 1:
            raise ImportError(f"{full} holds two classes called {module.name!r}: {classes}")
        for cls in classes:
            yield full, cls


def plugin_classes(source: str, stem: str) -> list[str]:
    """The public top-level classes in `source` whose body sets ``name`` to the text `stem`."""
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any(_sets_name(line, stem) for line in node.body)
    ]


def _sets_name(line: ast.stmt, stem: str) -> bool:
    if isinstance(line, ast.AnnAssign):
        target: ast.expr = line.target
    elif isinstance(line, ast.Assign) and len(line.targets) == 1:
        target = line.targets[0]
    else:
        return False
    return (
        isinstance(target, ast.Name)
        and target.id == "name"
        and isinstance(line.value, ast.Constant)
        and line.value.value == stem
    )


def _source(module: pkgutil.ModuleInfo, full: str) -> str | None:
    spec = module.module_finder.find_spec(full, None)
    loader = spec.loader if spec is not None else None
    read = getattr(loader, "get_source", None)  # every loader of Python sources has it
    return None if read is None else read(full)


def _class(module: str, attribute: str) -> type[Any]:
    found: type[Any] = getattr(importlib.import_module(module), attribute)
    return found
