from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests import tiny

import excise
from excise.api.concepts import read_concept
from excise.api.erasing import eraser_of
from excise.api.judging import clip_named, features_of, judges_for
from excise.edit import Edit, Recipe
from excise.errors import (
    BadConcept,
    BadFile,
    BadSetting,
    MissingJudge,
    UnknownName,
    UserError,
    WrongBase,
)
from excise.judges.classifier import Classifier
from excise.models.load import ASSETS, of_pipeline
from excise.primitives.clip import Clip
from excise.types import Concept

CAT = Concept("cat", synonyms=("kitten",), held_back=("feline",), neighbours=("dog",))


@cache
def model() -> Any:
    found = of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 2, "guidance": 2.0})
    found.known = (CAT, Concept("dog"))
    return found


def an_edit(of: Any) -> Edit:
    bias = of.parameters("unet")["unet.conv_out.bias"].detach()
    return Edit.of(of, {"unet.conv_out.bias": torch.ones_like(bias)}, recipe=Recipe(method="x"))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: excise.erase(model(), "cta"), UnknownName, "did you mean 'cat'"),
        (lambda: excise.erase(model(), "kitten"), UnknownName, "another word for 'cat'"),
        (lambda: excise.erase(model(), "cat", method="esdd"), UnknownName, "did you mean 'esd'"),
        (lambda: excise.erase(model(), ()), BadConcept, "name one"),
        (lambda: excise.erase(model(), "cat"), MissingJudge, "--strength 1 --no-search"),
        (lambda: excise.erase(model(), "cat", search=False), BadSetting, "--strength"),
        (lambda: excise.erase(model(), "cat", method="esd", search=False), BadSetting,
         "no strength to search for, got --no-search"),
        (lambda: excise.erase(model(), "cat", method="esd", strength=2.0), BadSetting,
         "no strength"),
        (lambda: excise.erase(model(), "cat", budget="big"), BadSetting, "budget"),
        (lambda: excise.erase(model(), "cat", settings={"stesp": 1}), BadSetting, "'steps'"),
        (lambda: excise.erase(model(), "cat", out="cat.pt"), BadFile, ".safetensors"),
        (lambda: excise.erase("no-such-model", "cat"), UnknownName, "no-such-model"),
        (lambda: excise.load(".", dtype="int8"), BadSetting, "float16"),
        (lambda: excise.erase(model(), "none.toml"), BadFile, "none.toml"),
        (lambda: excise.evaluate(model()), BadConcept, "name one"),
        (lambda: excise.evaluate(model(), concept="cat"), MissingJudge, "--judge"),
        (lambda: excise.evaluate(model(), concept="cat", judge="nowhere"), BadFile, "nowhere"),
        (lambda: excise.evaluate(model(), concept="cat", floor=5), BadSetting, "floor in [0, 1]"),
        (lambda: excise.attack(model(), concept="cat", floor=-0.1), BadSetting, "floor in [0, 1]"),
        (lambda: excise.evaluate(model(), concept="cat", features="nowhere"), BadFile, "nowhere"),
        (lambda: excise.evaluate(model(), concept="cat", features=3), BadSetting, "got int"),
        (lambda: excise.evaluate(model(), concept="cat", clip=ASSETS / "judge"), BadFile,
         "expected a CLIP"),
        (lambda: excise.merge([]), UserError, "one or more"),
        (lambda: excise.info("nowhere"), BadFile, "nowhere"),
        (lambda: excise.report("nowhere"), BadFile, "nowhere"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_of_its_own_class(call: Any, error: Any, said: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_features_and_a_clip_are_named_by_their_folders() -> None:
    assert features_of(None) is None
    assert clip_named(None) is None
    assert isinstance(features_of(ASSETS / "clip"), Clip)
    assert isinstance(features_of(str(ASSETS / "judge")), Classifier)
    assert features_of(torch.abs) is torch.abs
    scorer = clip_named(ASSETS / "clip")
    assert scorer == Clip(source=str(ASSETS / "clip"))


def test_settings_of_the_user_come_after_the_budget() -> None:
    quick = eraser_of(model(), "task_vector", {"kept": "7", "strength": 1}, "quick")
    full = eraser_of(model(), "task_vector", {"strength": 1})
    settings = {name: getattr(quick, name) for name in ("kept", "embeddings", "strength")}
    assert settings == {"kept": 7, "embeddings": full.embeddings // 4, "strength": 1.0}  # type: ignore[attr-defined]


def test_an_edit_is_saved_with_its_record_and_made_again_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "no-cat.safetensors"
    before = model().fingerprint()
    settings = {"steps": 3, "trajectories": 2, "sampling_steps": 3}

    def make() -> str:
        excise.erase(model(), "cat", method="esd", settings=settings, out=path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    first = make()
    assert model().fingerprint() == before
    record = json.loads((tmp_path / "no-cat.record" / "record.json").read_text("utf-8"))
    assert record["costs"]["gradients"] == 3
    assert make() == first  # from the stages
    for stage in (tmp_path / "no-cat.record" / "stages").iterdir():
        stage.unlink()
    assert make() == first  # from the start
    assert excise.info(path)["recipe"]["method"] == "esd"


def test_an_edit_is_merged_exported_and_applied(tmp_path: Path) -> None:
    edit = an_edit(model())
    double = excise.merge([edit, edit], out=tmp_path / "double.safetensors")
    assert float(double.dense("unet.conv_out.bias")[0]) == 2
    assert excise.merge([edit, edit], weights=[1, -1]).deltas == {}
    excise.export(model(), edit, tmp_path / "weights.safetensors")
    folder = excise.apply(model(), edit, tmp_path / "baked")
    baked = excise.load(folder)
    baked.autocast = model().autocast  # type: ignore[attr-defined]
    with edit.applied(model()):
        want = model().generate(["a cat"]).digest
    assert baked.generate(["a cat"]).digest == want
    assert excise.info(folder)["is"] == "model"
    with pytest.raises(WrongBase):
        excise.generate(baked, "a cat", edit=edit)


def test_pictures_are_drawn_to_files(tmp_path: Path) -> None:
    drawn = excise.generate(model(), "a cat", seeds=(1, 2), out=tmp_path / "all")
    assert len(list((tmp_path / "all").glob("*.png"))) == len(drawn) == 2
    excise.generate(model(), ["a cat", "a dog"], out=tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size == (32, 16)


def test_a_concept_is_read_from_a_file_with_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for i in range(3):
        pixels = np.full((20, 40, 3), 40 * i, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "shots" / f"{i}.png")
    file = tmp_path / "concept.toml"
    file.write_text('name = "mark"\nkind = "implicit"\npictures = "shots"\nunsafe = true\n',
                    encoding="utf-8")  # fmt: skip
    found = read_concept(file, (16, 16))
    assert found.unsafe
    assert found.to_json()["unsafe"] is True
    assert "unsafe" not in Concept("cat").to_json()
    assert found.kind == "implicit"
    assert found.pictures is not None
    assert found.pictures.shape == (3, 3, 16, 16)
    assert found.pictures[2].unique().tolist() == [80]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 3", "name"),
        ("kind = 'object'", "name"),
        ("name = 'a'\nsinonyms = []", "synonyms"),
        ("name = 'a'\nsynonyms = 'b'", "synonyms"),
        ("name = 'a'\nkind = 'thing'", "kind"),
        ("name = 'a'\nanchor = 3", "anchor"),
        ("name = 'a'\nunsafe = 'yes'", "unsafe"),
    ],
)
def test_a_bad_concept_file_is_explained(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "concept.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadConcept, match=said):
        read_concept(file)


def test_a_models_own_judge_comes_before_all_others(tmp_path: Path) -> None:
    for name in ("judge", "auditor"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"model_type": "resnet"}', encoding="utf-8")
    of = of_pipeline(
        tiny.stable_diffusion(),
        "own",
        {"judge": str(tmp_path / "judge"), "auditor": str(tmp_path / "auditor")},
    )
    found = judges_for(of, (CAT,))
    assert isinstance(found.first, Classifier)
    assert found.first.title == "judge"
    assert getattr(found.others[0], "title", "") == "auditor"


def test_places_of_judges_are_relative_to_the_models_folder(tmp_path: Path) -> None:
    model().save(tmp_path / "models" / "one")
    notes = tmp_path / "models" / "one" / "excise.json"
    data = json.loads(notes.read_text("utf-8")) | {"judge": "../judge"}
    notes.write_text(json.dumps(data), encoding="utf-8")
    loaded: Any = excise.load(tmp_path / "models" / "one")
    assert Path(loaded.notes["judge"]) == (tmp_path / "models" / "judge").resolve()
