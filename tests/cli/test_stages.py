"""What is said beforehand is at least what a run then takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.cli.judges import Dogs

from excise import api, registry
from excise.api.concepts import concepts_of
from excise.api.erasing import eraser_of
from excise.cli.stages import Stage, erase_plan
from excise.edit import record_folder
from excise.models.load import of_pipeline
from excise.types import Concept, Judge

SEARCHED = {
    "steps": 3, "pictures": 4, "batch": 2, "embeddings": 3, "inversion_steps": 2, "samples": 2,
    "carried": 1, "looks": 2, "kept": 48, "plain": 1, "rounds": 2, "heal": 4, "heal_batch": 3,
    "walks": 7, "pinned": 5, "adversaries": 3, "lasting": 2,
}  # fmt: skip
"""Of a task vector: everything that it does, some of it twice. The judge passes any strength."""
CAT, DOG = (
    Concept(name, anchor="tree", templates=("{a}", "a photo of {a}")) for name in ("cat", "dog")
)


@pytest.fixture(scope="module")
def model() -> Any:
    notes = {
        "steps": 2,
        "guidance": 2.0,
        "concepts": [{"name": "cat", "neighbours": ["dog"]}, {"name": "dog"}, {"name": "tree"}],
    }
    return of_pipeline(tiny.stable_diffusion(), "tiny", notes)


def spent(
    model: Any,
    folder: Path,
    method: str,
    concepts: list[Concept],
    settings: Any,
    judge: Judge | None = None,
) -> tuple[dict[str, Any], dict[str, int]]:
    """What a run took, and what was said of it: pictures, gradients, and bytes that it left."""
    eraser = eraser_of(model, method, settings, concepts=concepts)
    said = erase_plan(model, eraser, concepts_of(model, concepts))
    goal = folder / "edit.safetensors"
    api.erase(model, concepts, method=method, settings=settings, judge=judge, out=goal)
    took = json.loads((record_folder(goal) / "record.json").read_text())["costs"]
    took["bytes"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    names = ("pictures", "gradients", "bytes")
    return took, {name: sum(getattr(stage, name) for stage in said) for name in names}


@pytest.mark.parametrize("concepts", [[CAT], [CAT, DOG]], ids=len)
@pytest.mark.parametrize("method", registry.names("eraser"))
def test_no_method_takes_more_than_is_said(
    model: Any, tmp_path: Path, method: str, concepts: list[Concept]
) -> None:
    settings = registry.get("eraser", method).smallest
    took, said = spent(model, tmp_path, method, concepts, settings)
    for name, value in said.items():
        assert took[name] <= value, name


SHOWN = [n for n in registry.names("eraser") if "pictures" in registry.get("eraser", n).given]


@pytest.mark.parametrize("method", SHOWN)
def test_nor_of_what_is_shown(model: Any, tmp_path: Path, method: str) -> None:
    pictures = torch.rand(9, 3, *model.picture_size)
    secret = Concept("secret", kind="implicit", pictures=pictures)
    settings = registry.get("eraser", method).smallest
    took, said = spent(model, tmp_path, method, [secret], settings)
    for name, value in said.items():
        assert took[name] <= value, name


@pytest.mark.parametrize("variant", ["healed", "paper"])
def test_nor_does_the_search_for_a_strength(model: Any, tmp_path: Path, variant: str) -> None:
    settings = {**SEARCHED, "variant": variant}
    took, said = spent(model, tmp_path, "task_vector", [CAT], settings, Dogs())
    for name, value in said.items():
        assert took[name] <= value, name
    assert said["pictures"] < 4 * took["pictures"]  # a bound that says something
    assert said["gradients"] < 8 * took["gradients"]


def test_nothing_is_said_of_what_is_not_done(model: Any) -> None:
    names = {stage.name for stage in erase_plan(model, eraser_of(model, "uce"), [CAT])}
    assert names == {"edit"}
    stages = erase_plan(model, eraser_of(model, "task_vector", {"strength": 1}), [CAT])
    assert {"choose-set", "strength"}.isdisjoint({stage.name for stage in stages})
    assert Stage(name="empty") not in stages
    assert all(stage.seconds > 0 for stage in stages if stage.pictures or stage.gradients)
