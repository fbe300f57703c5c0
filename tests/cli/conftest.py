from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.cli.workshop import Workshop
from tests.reporting import factory

from excise import api
from excise.edit import Edit, Recipe
from excise.models.load import load
from excise.reporting import Report
from excise.types import Concept


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on the disk."""
    place = tmp_path_factory.mktemp("models") / "tiny"
    tiny.stable_diffusion().save_pretrained(place, safe_serialization=True)
    return place


@pytest.fixture(scope="session")
def model(folder: Path) -> Any:
    return load(str(folder))


@pytest.fixture(scope="session")
def edit(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An edit of the tiny model."""
    name = next(iter(model.parameters()))
    delta = torch.full_like(model.parameters()[name], 0.01)
    path = tmp_path_factory.mktemp("edits") / "no-cat.safetensors"
    concept = Concept("cat").to_json()
    Edit.of(model, {name: delta}, recipe=Recipe(method="test", concepts=(concept,))).save(path)
    return path


@pytest.fixture(scope="session")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on the disk that says what it knows, and is drawn from in two steps."""
    place = tmp_path_factory.mktemp("models") / "knowing"
    tiny.stable_diffusion().save_pretrained(place, safe_serialization=True)
    rows = [{"name": "cat", "neighbours": ["dog"]}, {"name": "dog"}]
    notes = {"steps": 2, "guidance": 2.0, "concepts": rows}
    (place / "excise.json").write_text(json.dumps(notes))
    return place


@pytest.fixture(scope="module")
def process() -> Iterator[Any]:
    """The program in a process that runs copies of itself, which may be stopped."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cli.workshop"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    ) as started:  # fmt: skip
        assert started.stdout is not None
        assert started.stdin is not None
        assert started.stdout.readline() == "ready\n"
        yield started
        started.stdin.close()


@pytest.fixture
def shop(process: Any, tmp_path: Path) -> Workshop:
    """The process, at work in a folder of the test's own."""
    return Workshop(tmp_path, process)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`api.erase`, `attack`, `evaluate` that note what they are given and answer at once."""
    seen: dict[str, Any] = {}

    def erase(model: Any, concept: Any, **given: Any) -> Edit:
        seen["erase"] = {"model": model, "concept": concept, **given}
        name = next(iter(model.parameters()))
        recipe = Recipe(method="test", concepts=(Concept("cat").to_json(),), verified=True)
        found = Edit.of(model, {name: torch.ones_like(model.parameters()[name])}, recipe=recipe)
        found.save(given["out"])
        return found

    def evaluate(model: Any, edit: Any = None, concept: Any = None, **given: Any) -> Report:
        seen["evaluate"] = {"model": model, "edit": edit, "concept": concept, **given}
        return factory.record(pictures=())

    def attack(model: Any, edit: Any = None, concept: Any = None, **given: Any) -> Report:
        seen["attack"] = {"model": model, "edit": edit, "concept": concept, **given}
        return factory.record(pictures=())

    monkeypatch.setattr(api, "erase", erase)
    monkeypatch.setattr(api, "attack", attack)
    monkeypatch.setattr(api, "evaluate", evaluate)
    return seen
