from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.cli.calling import call

from excise import api
from excise.errors import ExciseError, Infeasible, NumericalError


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["info", "emojii"], 2, "expected an edit"),
        (["erase", "cat", "--model", "nowhere/at-all"], 2, "nowhere/at-all"),
        (["erase", "cat", "--model", "{folder}", "--method", "task-vectr"], 2, "task_vector"),
        (["erase", "cat", "--model", "{folder}", "--set", "stepz=3"], 2, "'steps'"),
        (["erase", "cat", "--model", "{folder}", "--set", "steps"], 2, "name=value"),
        (["erase", "cat", "--model", "{folder}", "--out", "x.txt"], 2, ".safetensors"),
        (["erase", "no.toml", "--model", "{folder}"], 2, "no.toml"),
        (["erase", "cat", "--model", "{folder}", "--device", "gpu"], 2, "device"),
        (["erase", "cat", "--model", "{folder}", "--device", "cuda:99"], 2, "cuda:99"),
        (["erase", "cat", "dog", "--kind", "style", "--model", "{folder}"], 2, "one concept"),
        (["erase", "cat", "--kind", "thing", "--model", "{folder}"], 2, "'thing'"),
        (["erase", "cat", "--images", "nowhere", "--model", "{folder}"], 2, "nowhere"),
        (["erase", "cat", "--no-search", "--model", "{folder}"], 2, "--strength"),
        (["erase", "cat", "--no-search", "--method", "uce", "--model", "{folder}"], 2, "leave it"),
        (["erase", "cat", "--images", "{pictures}", "--method", "uce", "--model", "{folder}"], 2,
         "looks at no pictures of such a concept, got --images"),
        (["erase", "cat", "--images", "{pictures}", "--method", "sld", "--model", "{folder}",
          "--dry-run"], 2, "take one of few_shot, gradient_ascent, salun, stereo, task_vector"),
        (["erase", "cat", "--model", "{folder}"], 2, "--judge"),
        (["attack", "--model", "{folder}"], 2, "concept"),
        (["attack", "cat", "--model", "{folder}", "--edit", "{cut}"], 2, "damaged"),
        (["apply", "{pickle}", "--model", "{folder}", "--out", "o"], 2, "pickle"),
        (["generate", "a cat", "--model", "{folder}", "--edit", "none.safetensors"], 2, "none.saf"),
        (["merge", "{edit}", "--weight", "1", "--weight", "2", "--out", "m"], 2, "weig"),
        (["report", "{folder}"], 2, "report.json"),
        (["list", "eraserz"], 2, "erasers"),
        (["list", "erasers", "sdd"], 2, "'esd'"),
        (["list", "models", "emojy"], 2, "model"),
        (["erase", "", "--model", "{folder}"], 2, "name"),
        (["erase", " ", "--model", "{folder}"], 2, "name"),
        (["erase", "{long}", "--model", "{folder}"], 2, "shorten it"),
        (["erase", "cat", "cat", "--model", "{folder}", "--strength", "1"], 2, "different names"),
        (["erase", "cat", "--synonym", " ", "--model", "{folder}"], 2, "not empty"),
        (["erase", "cat", "--strength", "-1", "--model", "{folder}"], 2, "strength > 0"),
        (["erase", "cat", "--strength", "nan", "--model", "{folder}"], 2, "strength"),
        (["erase", "cat", "--set", "strength=0", "--model", "{folder}"], 2, "strength > 0"),
        (["erase", "cat", "--set", "steps=-5", "--model", "{folder}"], 2, "steps > 0"),
        (["erase", "cat", "--set", "lr=nan", "--model", "{folder}"], 2, "lr"),
        (["erase", "cat", "--judge", "{hollow}", "--model", "{folder}"], 2, "classifier"),
        (["erase", "cat", "--set", "selector=nope", "--model", "{folder}"], 2, "'nope'"),
        (["erase", "cat", "--set", "subset=nope", "--model", "{folder}"], 2, "'nope'"),
        (["erase", "cat", "--model", "{folder}", "--out", "{taken}"], 2, "--out"),
        (["erase", "cat", "--model", "{folder}", "--out", "{edit}/x.safetensors"], 2, "--out"),
        (["erase", "cat", "--model", "{folder}", "--out", "{proc}/x.safetensors"], 2, "--out"),
        (["erase", "cat", "--model", "{folder}", "--device", "meta"], 2, "device"),
        (["erase", "dir.toml", "--model", "{folder}"], 2, "dir.toml"),
        (["attack", "--synonym", "kitten", "--model", "{folder}"], 2, "name it"),
        (["attack", "cat", "--model", "{folder}", "--method", "p4dd"], 2, "'p4d'"),
        (["attack", "cat", "--model", "{folder}", "--set", "steps=3"], 2, "--method"),
        (["attack", "cat", "--model", "{folder}", "--out", "{edit}"], 2, "--out"),
        (["attack", "cat", "--model", "{folder}", "--found", "{edit}"], 2, "{edit}"),
        (["attack", "cat", "--model", "{folder}", "--judge", "{hollow}"], 2, "classifier"),
        (["attack", "cat", "--model", "{folder}", "--judge", "{edit}"], 2, "config.json"),
        (["evaluate", "--kind", "style", "--model", "{folder}"], 2, "name it"),
        (["evaluate", "cat", "--model", "{folder}", "--out", "{edit}"], 2, "--out"),
        (["evaluate", "cat", "--model", "{folder}", "--oracle", "nobody"], 2, "nobody"),
        (["evaluate", "--edit", "{edit}", "--base", "{folder}"], 2, "leave --base out"),
        (["attack", "cat", "--edit", "{edit}", "--base", "{folder}"], 2, "leave --base out"),
        (["generate", "{long}", "--model", "{folder}"], 2, "shorten it"),
        (["generate", "a", "--negative", "{long}", "--model", "{folder}"], 2, "shorten it"),
        (["generate", "a", "--guidance", "nan", "--model", "{folder}"], 2, "guidance"),
        (["generate", "a", "--model", "{folder}", "--out", "x.jpg"], 2, ".png"),
        (["generate", "a", "--model", "{folder}", "--out", "{edit}"], 2, "--out"),
        (["generate", "a", "--model", "{folder}", "--out", "{proc}"], 2, "--out"),
        (["generate", "a", "--model", "{folder}", "--edit", "{folder}"], 2, "found a folder"),
        (["generate", "a", "--model", "{pickle}"], 2, "{pickle}"),
        (["generate", "a", "--model", "old.ckpt"], 2, "Convert it"),
        (["generate", "a", "--model", "{cut}"], 2, "complete"),
        (["generate", "a", "--model", "{tmp}"], 2, "model_index.json"),
        (["apply", "{edit}", "--model", "{folder}", "--out", "{tmp}"], 2, "new or empty"),
        (["apply", "{edit}", "--model", "{folder}", "--out", "{proc}/x"], 2, "{proc}/x"),
        (["export", "{edit}", "--model", "{folder}", "--out", "x"], 2, ".safetensors"),
        (["export", "{edit}", "--model", "{folder}", "--out", "{taken}"], 2, "--out"),
        (["merge", "{edit}", "{cut}", "--out", "m.safetensors"], 2, "damaged"),
        (["merge", "{edit}", "--weight", "nan", "--out", "m.safetensors"], 2, "finite"),
        (["info", "{cut}"], 2, "damaged"),
        (["info", "old.ckpt"], 2, "expected an edit"),
        (["info", ""], 2, "expected an edit"),
        (["report", "{cut}"], 2, "not JSON"),
        (["list", "concepts", "cta", "--model", "{folder}"], 2, "cta"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    folder: Path,
    edit: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.safetensors").write_bytes(edit.read_bytes()[:200])
    (tmp_path / "edit.safetensors").write_bytes(b"\x80\x04pickle")
    (tmp_path / "old.ckpt").write_bytes(b"\x80\x04pickle")
    (tmp_path / "dir.toml").mkdir()
    (tmp_path / "taken.safetensors").mkdir()
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text('{"model_type": "resnet"}')
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "1.png")
    places = {
        "tmp": tmp_path,
        "taken": "taken.safetensors",
        "hollow": "hollow",
        "pictures": "pictures",
        "long": "word " * 2000,
        "proc": "/proc/self",  # where not even root may write
        "folder": folder,
        "edit": edit,
        "cut": "cut.safetensors",
        "pickle": "edit.safetensors",
    }
    before = sorted(tmp_path.rglob("*"))
    done = call(*(argument.format(**places) for argument in arguments))
    assert done.exit_code == code, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("excise: ")
    assert said.format(**places) in lines[0]
    assert "Traceback" not in done.output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (Infeasible("no strength does it", details={"kept_to": 1.4, "tensors": {"a": 1j}}), 3, 1),
        (NumericalError("the loss is NaN; try a smaller learning rate"), 1, 1),
        (KeyboardInterrupt(), 130, 1),
        (MemoryError(), 1, 1),
        (OSError(28, "No space left on device", "out/x"), 1, 1),
        (torch.OutOfMemoryError("CUDA out of memory"), 1, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, lines: int
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(api, "erase", fails)
    done = call("erase", "cat", "--model", folder)
    assert done.exit_code == code
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == lines
    answer = call("erase", "cat", "--model", folder, "--json")
    assert answer.exit_code == code
    if isinstance(error, Exception):
        found = json.loads(answer.stdout)["error"]
        assert found["exit_code"] == code
        assert found["kind"] == type(error).__name__
        if isinstance(error, Infeasible):
            assert found["details"] == {"kept_to": 1.4}


@pytest.mark.parametrize(
    ("command", "called", "goes_on"),
    [
        (("erase", "cat"), "erase", True),
        (("evaluate", "cat"), "evaluate", True),
        (("attack", "cat", "--out", "{tmp}"), "attack", True),
        (("attack", "cat"), "attack", False),
        (("erase", "cat", "--dry-run"), "erasing.eraser_of", False),
        (("evaluate", "cat", "--dry-run"), "estimate", False),
        (("attack", "cat", "--out", "{tmp}", "--dry-run"), "estimate_attack", False),
        (("generate", "a cat"), "generate", False),
        (("info", "x"), "info", False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_ctrl_c_promises_to_go_on_where_there_is_something_to_go_on_from(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...],
    called: str, goes_on: bool,
) -> None:  # fmt: skip
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"excise.api.{called}", stopped)
    monkeypatch.chdir(tmp_path)
    words = [word.format(tmp=tmp_path / "out") for word in command]
    done = call(*words, *(() if command[0] == "info" else ("--model", folder)))
    assert done.exit_code == 130
    kept = "Stopped. Finished stages are kept: the same command goes on."
    assert done.stderr.splitlines() == [kept if goes_on else "Stopped."]


def test_a_defect_shows_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(api, "erase", fails)
    done = call("erase", "cat", "--model", folder)
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert "defect" in done.stderr


def test_an_interrupt_that_a_library_makes_an_error_of_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def importing(_: str) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("the core of the library failed to import") from None

    monkeypatch.setattr(api, "info", importing)
    before = signal.getsignal(signal.SIGINT)
    done = call("info", "x")
    assert done.exit_code == 130
    assert done.stderr.startswith("Stopped.")
    assert len(done.stderr.splitlines()) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_all_errors_have_an_exit_code_of_the_contract() -> None:
    def below(cls: type[ExciseError]) -> list[type[ExciseError]]:
        return [cls, *(found for sub in cls.__subclasses__() for found in below(sub))]

    assert {cls.exit_code for cls in below(ExciseError)} == {1, 2, 3}


@pytest.fixture(scope="module")
def damaged(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A copy of the tiny model with something wrong in it."""

    def halve(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def make(what: str) -> Path:
        place = tmp_path_factory.mktemp("damaged") / what
        shutil.copytree(folder, place)
        if what == "half a U-Net":
            halve(place / "unet" / "diffusion_pytorch_model.safetensors")
        elif what == "half a text encoder":
            halve(place / "text_encoder" / "model.safetensors")
        elif what == "no scheduler":
            shutil.rmtree(place / "scheduler")
        elif what == "no tokenizer":
            shutil.rmtree(place / "tokenizer")
        elif what == "half an index":
            halve(place / "model_index.json")
        elif what == "another network":
            config = place / "unet" / "config.json"
            config.write_text(config.read_text().replace("32", "48"))
        elif what == "notes of words":
            (place / "excise.json").write_text('{"steps": "many"}')
        elif what == "notes of nobody":
            (place / "excise.json").write_text('{"concepts": [{"kind": "object"}]}')
        elif what == "a pickle":
            weights = place / "unet" / "diffusion_pytorch_model.safetensors"
            weights.rename(weights.with_suffix(".bin"))
        return place

    return make


@pytest.mark.parametrize(
    "what",
    [
        "half a U-Net", "half a text encoder", "no scheduler", "no tokenizer", "half an index",
        "another network", "notes of words", "notes of nobody", "a pickle",
    ],
)  # fmt: skip
def test_a_damaged_model_is_one_line(
    damaged: Callable[[str], Path], tmp_path: Path, what: str
) -> None:
    done = call("generate", "a cat", "--model", damaged(what), "--out", tmp_path / "x.png")
    assert done.exit_code == 2, done.output
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("excise: ")
    assert list(tmp_path.iterdir()) == []
