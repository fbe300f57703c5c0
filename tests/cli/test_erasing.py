"""Every method, from the command line to a file that another run applies; a new one by its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests import tiny
from tests.cli.calling import call

from excise import registry
from excise.edit import Edit
from excise.erasers.base import Eraser
from excise.models.load import load
from excise.settings import build, recipe

PICTURES = 8  # the least that can be cut into sets for making, choosing and attacking


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on the disk that knows three things, and is drawn from in two steps."""
    place = tmp_path_factory.mktemp("models") / "knowing"
    tiny.stable_diffusion().save_pretrained(place, safe_serialization=True)
    rows = [{"name": "cat", "neighbours": ["dog"]}, {"name": "dog"}, {"name": "tree"}]
    notes = {"steps": 2, "guidance": 2.0, "concepts": rows}
    (place / "excise.json").write_text(json.dumps(notes))
    return place


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of something that no prompt names."""
    place = tmp_path_factory.mktemp("pictures")
    for i in range(PICTURES):
        Image.new("RGB", (16, 16), (30 * i, 255 - 30 * i, 0)).save(place / f"{i}.png")
    return place


def settings(kind: type[Eraser]) -> list[str]:
    """The method's smallest, as they are typed."""
    return [part for name, value in kind.smallest.items() for part in ("--set", f"{name}={value}")]


def erased(model: Path, goal: Path, kind: type[Eraser], *asked: str | Path) -> Edit:
    """What the command writes, by the method and the settings that were asked for."""
    done = call(
        "erase", *asked, "--model", model, "--method", kind.name, *settings(kind), "--out", goal,
        "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    edit = Edit.load(goal)
    assert json.loads(done.stdout)["digest"] == edit.digest
    assert edit.recipe.method == kind.name
    made = build(kind, edit.recipe.settings)
    wanted = recipe(build(kind, kind.smallest))
    assert {name: recipe(made)[name] for name in kind.smallest} == {
        name: wanted[name] for name in kind.smallest
    }
    return edit


def changes(model: Path, goal: Path) -> bool:
    """Does the file change what another run draws from the model?"""
    drawn = []
    for more in ((), ("--edit", goal)):
        done = call("generate", "a cat", "-n", "1", "--model", model, "--json", *more,
                    "--out", goal.parent / f"drawn{len(more)}")  # fmt: skip
        assert done.exit_code == 0, done.output
        drawn.append(json.loads(done.stdout)["digest"])
    return bool(drawn[0] != drawn[1])


@pytest.mark.parametrize("method", registry.names("eraser"))
def test_every_method_erases_from_the_command_line(
    knowing: Path, shown: Path, tmp_path: Path, method: str
) -> None:
    kind: Any = registry.get("eraser", method)
    goal = tmp_path / "no-cat.safetensors"
    by = () if "words" in kind.given else ("--images", shown)
    edit = erased(knowing, goal, kind, "cat", *by)
    assert edit.recipe.concept_names == ("cat",)
    assert not edit.recipe.verified
    assert changes(knowing, goal)


SHOWN = [n for n in registry.names("eraser") if "pictures" in registry.get("eraser", n).given]


@pytest.mark.parametrize("method", SHOWN)
def test_what_pictures_alone_show_is_erased_by_those_that_take_pictures(
    knowing: Path, shown: Path, tmp_path: Path, method: str
) -> None:
    concept = tmp_path / "concept.toml"
    concept.write_text(f'name = "secret"\nkind = "implicit"\npictures = "{shown}"\n')
    goal = tmp_path / "no-secret.safetensors"
    edit = erased(knowing, goal, registry.get("eraser", method), concept)
    model = load(str(knowing))
    x, empty = torch.ones(1, *model.latent_shape), model.encode("")
    with torch.no_grad():
        before = model.predict(x, 0.5, empty)
        with edit.applied(model):
            assert not torch.equal(model.predict(x, 0.5, empty), before)


@pytest.mark.parametrize(("method", "noted"), [("uce", True), ("few_shot", False)])
def test_pictures_that_a_file_brings_are_used_or_it_is_said(
    knowing: Path, shown: Path, tmp_path: Path, method: str, noted: bool
) -> None:
    concept = tmp_path / "concept.toml"
    concept.write_text(f'name = "cat"\npictures = "{shown}"\n')
    kind = registry.get("eraser", method)
    done = call("erase", concept, "--model", knowing, "--method", method, *settings(kind),
                "--out", tmp_path / "no-cat.safetensors")  # fmt: skip
    assert done.exit_code == 0, done.output
    said = f'{method} goes by words: the pictures of "cat" were not used'
    assert (said in done.stdout.replace("\n", " ")) == noted


def test_several_concepts_go_in_one_edit(knowing: Path, tmp_path: Path) -> None:
    goal = tmp_path / "both.safetensors"
    edit = erased(knowing, goal, registry.get("eraser", "speed"), "cat", "dog")
    assert edit.recipe.concept_names == ("cat", "dog")
    alone = erased(knowing, tmp_path / "one.safetensors", registry.get("eraser", "speed"), "cat")
    assert edit.digest != alone.digest
    assert changes(knowing, goal)
