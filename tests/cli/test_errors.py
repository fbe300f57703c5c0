from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
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
    places = {
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
    assert said in lines[0]
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


def test_a_defect_shows_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(api, "erase", fails)
    done = call("erase", "cat", "--model", folder)
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert "defect" in done.stderr


def test_all_errors_have_an_exit_code_of_the_contract() -> None:
    def below(cls: type[ExciseError]) -> list[type[ExciseError]]:
        return [cls, *(found for sub in cls.__subclasses__() for found in below(sub))]

    assert {cls.exit_code for cls in below(ExciseError)} == {1, 2, 3}
