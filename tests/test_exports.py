from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import excise


def test_public_names_are_sorted_and_complete() -> None:
    assert excise.__all__ == sorted(set(excise.__all__))
    assert dir(excise) == excise.__all__
    assert excise.__version__


@pytest.mark.parametrize("name", sorted(excise._HOME))
def test_every_public_name_is_there(name: str) -> None:
    home = excise._HOME[name]
    assert getattr(excise, name) is getattr(importlib.import_module(home), name)


def test_type_checkers_see_what_the_map_says(source: Path) -> None:
    # A fact that must stand in two places: the lazy map, and the block that checkers read.
    module = ast.parse((source / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("excise")
        for alias in node.names
    }
    assert seen == excise._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = excise.nonsense


def test_import_does_not_wait_for_heavy_libraries() -> None:
    heavy = ("torch", "numpy", "diffusers", "transformers", "rich", "typer")
    code = f"import sys, excise; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_package_is_typed(source: Path) -> None:
    assert (source / "py.typed").is_file()
