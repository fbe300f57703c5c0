from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from tests import plugins

from excise import registry
from excise.errors import BadSetting, UnknownName, UserError

PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True, kw_only=True)
class {cls}:
    """A method."""
    name: ClassVar[str] = "{name}"
    steps: int = 200
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of erasers, put in the place of the built-in ones."""
    package = tmp_path / "excise_probe"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("class Eraser:\n    name: str\n")
    (package / "_helper.py").write_text(PLUGIN.format(cls="Hidden", name="_helper"))
    (package / "tables.py").write_text("ROWS = 3\n")
    (package / "esd.py").write_text(PLUGIN.format(cls="ESD", name="esd"))
    (package / "task_vector.py").write_text(PLUGIN.format(cls="TaskVector", name="task_vector"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "FOLDERS", {**registry.FOLDERS, "eraser": "excise_probe"})
    yield package
    for module in [m for m in sys.modules if m.startswith("excise_probe")]:
        del sys.modules[module]


def test_plugins_are_found_by_their_files(folder: Path) -> None:
    assert registry.names("eraser") == ("esd", "task_vector")


def test_a_plugin_is_added_by_adding_one_file(folder: Path) -> None:
    (folder / "mine.py").write_text(PLUGIN.format(cls="Mine", name="mine"))
    assert "mine" in registry.names("eraser")
    assert registry.create("eraser", "mine", {"steps": "7"}).steps == 7


def test_listing_imports_no_plugin(folder: Path) -> None:
    (folder / "heavy.py").write_text(
        PLUGIN.format(cls="Heavy", name="heavy") + "\nraise RuntimeError('imported')\n"
    )
    assert "heavy" in registry.names("eraser")


def test_unknown_names_get_close_ones(folder: Path) -> None:
    assert registry.get("eraser", "task-vector").__name__ == "TaskVector"
    with pytest.raises(UnknownName, match="no eraser is called 'taskvector': did you mean"):
        registry.get("eraser", "taskvector")
    with pytest.raises(UnknownName, match="no kind is called 'erasers': did you mean 'eraser'"):
        registry.names("erasers")  # type: ignore[arg-type]


def test_two_classes_of_one_name_are_refused(folder: Path) -> None:
    text = PLUGIN.format(cls="One", name="twice") + PLUGIN.format(cls="Two", name="twice")
    (folder / "twice.py").write_text(text)
    with pytest.raises(ImportError, match="two classes"):
        registry.names("eraser")


def test_a_method_may_live_in_another_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "excise_probe_other.py").write_text(PLUGIN.format(cls="Other", name="other"))
    plugins.install(monkeypatch, "excise_probe", other="excise_probe_other:Other")
    assert registry.names("eraser") == ("esd", "other", "task_vector")
    assert registry.get("eraser", "other").__name__ == "Other"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("esd", "somewhere:ESD", "two plugins are called eraser 'esd'"),
        ("gone", "excise_no_such_module:Gone", "cannot be loaded"),
        ("wrong", "json:NoSuchClass", "cannot be loaded"),
    ],
)
def test_a_broken_entry_point_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    plugins.install(monkeypatch, "excise_probe", **{name: value})
    with pytest.raises(UserError, match=said):
        registry.get("eraser", name)


def test_an_entry_point_needs_a_class(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.install(monkeypatch, "excise_probe", module="json")
    with pytest.raises(BadSetting, match="module:Class"):
        registry.names("eraser")


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_built_in_plugin_is_a_frozen_dataclass_of_its_name(kind: registry.Kind) -> None:
    assert list(registry.names(kind)) == sorted(registry.names(kind))
    for name in registry.names(kind):
        cls = registry.get(kind, name)
        assert cls.name == name
        if kind != "family":  # a family holds live modules and takes no settings
            assert dataclasses.is_dataclass(cls)
            assert cls.__dataclass_params__.frozen
            assert all(f.kw_only for f in dataclasses.fields(cls))


def test_listing_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from excise.registry import KINDS, names; [names(k) for k in KINDS];"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
