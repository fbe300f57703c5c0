"""Imports run one way; read from the source, so that a lazy or a typing import counts too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

# Each tier may import the tiers before it. Within a tier nothing imports a neighbour.
TIERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("types",),
    ("stats", "rng", "store", "progress", "settings"),
    ("registry", "method"),
    ("edit",),
    ("models",),
    ("hooks",),
    ("primitives",),
    ("judges", "erasers", "attacks", "metrics"),
    ("reporting",),
    ("suite",),
    ("api",),
    ("cli",),
    ("__main__",),
)
# Leaves: they may import everything and the leaves before them; nothing else may import them.
# Worlds are found by name.
LEAVES = ("emoji", "worlds")
# The package's own name for its version; all else in it is loaded lazily from the tiers.
ROOT_NAMES = ("__version__",)

LEVEL = {unit: level for level, tier in enumerate(TIERS) for unit in tier}


def violations(tree: Path) -> list[str]:
    """What is wrong with the imports of a package in folder `tree`, one line each."""
    found = []
    for path in sorted(tree.rglob("*.py")):
        place = path.relative_to(tree)
        unit = place.parts[0].removesuffix(".py")
        if unit == "__init__":
            found += [f"{place}: imports {u}" for u in imports(path, tree, typing=False)]
            continue
        if unit not in LEVEL and unit not in LEAVES:
            found.append(f"{place}: {unit} is in no tier; add it to TIERS")
            continue
        for other in imports(path, tree):
            if other != unit and not allowed(unit, other):
                found.append(f"{place}: {unit} imports {other}")
    return found


def allowed(unit: str, other: str) -> bool:
    if other in LEAVES:
        return unit in LEAVES and LEAVES.index(other) < LEAVES.index(unit)
    return other in LEVEL and (unit in LEAVES or LEVEL[other] < LEVEL[unit])


def imports(path: Path, tree: Path, *, typing: bool = True) -> list[str]:
    """The units of the package that a file imports, wherever in the file it does.

    typing: whether imports for type checkers only count.
    """
    package = ("excise", *path.relative_to(tree).parts[:-1])
    module = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(n) for n in typing_only(module)} if not typing else set()
    units = []
    for node in ast.walk(module):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                units += unit_of(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                units += unit_of([*base, alias.name])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            argument = node.args[0] if node.args else None
            if name in ("import_module", "__import__") and isinstance(argument, ast.Constant):
                units += unit_of(str(argument.value).split("."))
    return list(dict.fromkeys(units))


def unit_of(parts: list[str]) -> list[str]:
    """The unit that a dotted name belongs to; a bare ``import excise`` is the unit ``excise``."""
    if parts[0] != "excise":
        return []
    if len(parts) == 1:
        return ["excise"]
    return [] if parts[1] in ROOT_NAMES else [parts[1]]


def typing_only(module: ast.Module) -> list[ast.AST]:
    blocks = [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    ]
    return [inner for block in blocks for line in block.body for inner in ast.walk(line)]


def test_imports_run_one_way(source: Path) -> None:
    assert violations(source) == []


def write(tree: Path, **files: str) -> Path:
    for name, text in files.items():
        path = tree / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tree


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("errors", "from excise.types import Concept", "errors imports types"),
        ("errors", "import excise.types as t", "errors imports types"),
        ("types__values", "from excise import store", "types imports store"),
        ("types__values", "from ..store import write_text", "types imports store"),
        ("stats__a", "from excise.rng import noise", "stats imports rng"),
        ("judges__a", "def f():\n    from excise.attacks import base", "judges imports attacks"),
        ("erasers__a", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import excise.api",
         "erasers imports api"),
        ("edit", "import importlib\nimportlib.import_module('excise.cli')", "edit imports cli"),
        ("cli", "from excise.emoji import world", "cli imports emoji"),
        ("suite__a", "from excise.worlds import emoji", "suite imports worlds"),
        ("emoji__world", "from excise.worlds import emoji", "emoji imports worlds"),
        ("edit", "import excise", "edit imports excise"),
        ("edit", "from excise import load", "edit imports load"),
        ("helpers", "", "helpers is in no tier"),
        ("__init__", "from excise.types import Concept", "imports types"),
    ],
)  # fmt: skip
def test_a_staged_violation_is_found(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / ("__init__.py" if name == "__init__" else name.replace("__", "/") + ".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    found = violations(tmp_path)
    assert len(found) == 1
    assert said in found[0]


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    write(
        tmp_path,
        types__values="from excise.errors import UserError\nfrom excise.types import other",
        store__a="from excise import __version__\nfrom excise.types import Concept",
        emoji__world="from excise.api import load\nfrom .glyphs import Atlas",
        worlds__emoji="from excise.emoji.pictures import concept_pictures",
        erasers__esd="from excise.primitives.finetune import finetune\nfrom .base import Eraser",
        cli="import excise.api\nimport torch",
    )
    (tmp_path / "__init__.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from excise.api import load"
    )
    assert violations(tmp_path) == []
