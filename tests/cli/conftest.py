from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
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
