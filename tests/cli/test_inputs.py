from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.cli.calling import call

from excise import api
from excise.cli import listing
from excise.cli.inputs import Described, checked, concept_of, concepts_of, file_name
from excise.erasers.declared import HAS
from excise.erasers.safree import SAFREE
from excise.errors import BadConcept, BadSetting, Unsupported
from excise.registry import names
from excise.types import Concept


def test_concepts_from_options(model: Any, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.new("RGB", (40, 24), (80 * i, 0, 0)).save(tmp_path / "pictures" / f"{i}.png")
    said = Described(synonyms=["puss"], neighbours=["dog"], images=tmp_path / "pictures")
    found = concept_of(model, "cat", said)
    assert isinstance(found, Concept)
    assert (found.name, found.synonyms, found.neighbours) == ("cat", ("puss",), ("dog",))
    assert found.pictures is not None
    assert found.pictures.shape == (3, 3, *model.picture_size)
    toml = tmp_path / "concept.toml"
    toml.write_text('name = "cat"\nsynonyms = ["kitten"]\n')
    both = concept_of(model, str(toml), Described(synonyms=["kitten", "puss"]))
    assert isinstance(both, Concept)
    assert both.synonyms == ("kitten", "puss")
    style = concept_of(model, "neon", Described(kind="style"))
    assert isinstance(style, Concept)
    assert style.templates == Concept("neon", kind="style").templates
    assert concept_of(model, "cat", Described()) == "cat"
    hidden = concept_of(model, "cat", Described(unsafe=True))
    assert isinstance(hidden, Concept)
    assert hidden.unsafe
    with pytest.raises(BadConcept, match="one concept"):
        concepts_of(model, ["cat", "dog"], said)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["cat"], "no-cat"), (["Big Cat!"], "no-big-cat"), (["a/b", "c"], "no-a-b-c"),
        (["dir/neon.toml"], "no-neon"), (["../.."], "no-concept"), (["é" * 300], "no-concept"),
    ],
)  # fmt: skip
def test_file_names_are_safe(words: list[str], name: str) -> None:
    assert file_name(words) == f"{name}.safetensors"


def test_devices() -> None:
    assert checked("cpu") == "cpu"
    with pytest.raises(BadSetting, match="device"):
        checked("gpu")
    with pytest.raises(Unsupported, match="this machine"):
        checked("cuda:99")


@pytest.mark.parametrize("kind", ["eraser", "attack", "metric", "judge", "hook", "family"])
def test_lists_hold_what_the_registry_has(kind: Any) -> None:
    plural = next(p for p, s in listing.PLURALS.items() if s == kind)
    done = call("list", plural, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [item["name"] for item in found] == list(names(kind))
    assert all(item["about"] for item in found)


def test_settings_of_a_method() -> None:
    done = call("list", "erasers", "task_vector", "--json")
    found = {one["name"]: one for one in json.loads(done.stdout)["settings"]}
    assert found["steps"]["default"] == "200"
    text = call("list", "eraser", "task-vector").stdout
    assert "strength" in text
    assert call("list").stdout.split() == list(listing.THINGS)


def test_an_empty_list_says_so(folder: Path) -> None:
    assert call("list", "concepts", "--model", folder).stdout == "There are none.\n"
    assert json.loads(call("list", "concepts", "--model", folder, "--json").stdout) == []


def test_erasers_are_held_against_a_model(folder: Path) -> None:
    done = call("list", "erasers", "--model", folder, "--json")
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["few_shot"]["serves"] == "yes"
    assert rows["task_vector"]["given"] == "words or pictures"
    assert rows["uce"]["given"] == "words"
    assert "serves it" in call("list", "erasers", "--model", folder).stdout
    # Without a model nothing is loaded, and nothing is said of any.
    plain = json.loads(call("list", "erasers", "--json").stdout)
    assert {row["serves"] for row in plain} == {""}


def test_a_model_is_loaded_once_and_what_does_not_serve_it_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "three"
    tiny.sd3().save_pretrained(folder, safe_serialization=True)
    loaded: list[object] = []
    load = api.load

    def counted(source: str, **named: Any) -> Any:
        loaded.append(source)
        return load(source, **named)

    monkeypatch.setattr(api, "load", counted)
    done = call("list", "erasers", "--model", folder, "--json")
    assert done.exit_code == 0, done.output
    assert loaded == [str(folder)]
    rows = {row["name"]: row["serves"] for row in json.loads(done.stdout)}
    assert rows["few_shot"] == "no: it needs text encoders that are all CLIP's"
    assert {rows[name] for name in ("uce", "task_vector", "esd")} == {"yes"}
    # What the list says is what a run says.
    goal = tmp_path / "no-cat.safetensors"
    refused = call("erase", "cat", "--model", folder, "--method", "few_shot", "--out", goal)
    assert refused.exit_code == 2
    assert "few_shot needs text encoders that are all CLIP's, which 'three' (sd3)" in refused.stderr


def test_whether_a_method_serves_is_of_its_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SAFREE, "measured", {"stable-diffusion": {"negative": False}})
    monkeypatch.setitem(HAS, "unconditional", lambda model: False)
    rows = {row.name: row.serves for row in listing.items("eraser", str(folder))}
    assert rows["safree"] == "yes"
    assert rows["sld"] == "no: it needs an unconditional that it is guided away from"
