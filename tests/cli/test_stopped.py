"""The whole command ``excise erase``, stopped between and inside its stages, and run again."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.cli.workshop import Run, Workshop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="forks, and sends POSIX signals"),
]

ROOT = Path(__file__).parents[2]
SMALL = {
    "steps": 3, "pictures": 4, "batch": 2, "embeddings": 2, "inversion_steps": 2, "samples": 1,
    "carried": 1, "looks": 1, "kept": 48, "plain": 1, "grid": 1.0, "refine": 0, "rounds": 1,
    "heal": 2, "heal_batch": 2, "walks": 2, "pinned": 2, "pin_rounds": 0,
}  # fmt: skip
NAME = "no-cat.safetensors"


def erase(folder: Path) -> list[str | Path]:
    sets = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    return ["erase", "cat", "--model", folder, "--out", NAME, *sets]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on the disk that says what it knows."""
    place = tmp_path_factory.mktemp("models") / "tiny"
    tiny.stable_diffusion().save_pretrained(place, safe_serialization=True)
    rows = [{"name": "cat", "neighbours": ["dog"]}, {"name": "dog"}]
    notes = {"steps": 2, "guidance": 2.0, "concepts": rows}
    (place / "excise.json").write_text(json.dumps(notes))
    return place


@pytest.fixture(scope="module")
def process() -> Iterator[Any]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cli.workshop"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    ) as started:  # fmt: skip
        assert started.stdout is not None
        assert started.stdin is not None
        assert started.stdout.readline() == "ready\n"
        yield started
        started.stdin.close()


@pytest.fixture
def shop(process: Any, tmp_path: Path) -> Workshop:
    return Workshop(tmp_path, process)


@pytest.fixture(scope="module")
def whole(
    process: Any, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Run]:
    """What a run leaves that nobody disturbs, and its course."""
    folder = tmp_path_factory.mktemp("whole")
    done = Workshop(folder, process)(*erase(model))
    assert done.code == 0, done.err
    return result(folder), done


def result(folder: Path) -> dict[str, Any]:
    """By file what is in it; of the record all but what it has cost."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.is_dir():
            found[str(path.relative_to(folder))] = "a folder"
    record = json.loads((folder / "no-cat.record" / "record.json").read_text())
    assert record.pop("costs")["seconds"] > 0
    found["no-cat.record/record.json"] = record
    return found


def test_the_run_has_stages_to_be_stopped_in(whole: tuple[dict[str, Any], Run]) -> None:
    files, done = whole
    stages = {name.split("/")[-1].rsplit("-", 1)[0] for name in files if "/stages/" in name}
    assert {"pictures-tau-0", "finetune", "kept-before"} <= stages
    assert NAME in files
    assert done.ticks >= 10
    assert done.writes >= 10
    assert not [name for name in files if "tmp" in name or ".part" in name]


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_file_it_ends_with_the_same_bytes(
    shop: Workshop, model: Path, whole: tuple[dict[str, Any], Run], after: bool
) -> None:
    wanted, course = whole
    stop, known = 3, -1  # at the third file, so that there is a little progress each time
    for _ in range(course.writes):
        done = shop(*erase(model), write=stop, after=after)
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL
        found = len([path for path in shop.folder.rglob("*") if path.suffix == ".safetensors"])
        stop, known = stop + (found == known), found  # the last files are written every time
    assert done.code == 0
    assert shop(*erase(model)).code == 0
    assert result(shop.folder) == wanted


def test_killed_within_files_and_steps_it_ends_with_the_same_bytes(
    shop: Workshop, model: Path, whole: tuple[dict[str, Any], Run]
) -> None:
    wanted, course = whole
    for part in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert shop(*erase(model), half=2).code == -signal.SIGKILL
        at = max(1, int(part * course.ticks / 2))
        if shop(*erase(model), tick=at).code == 0:
            break
    assert shop(*erase(model)).code == 0
    assert result(shop.folder) == wanted


def test_ctrl_c_is_one_line_and_leaves_nothing_half(
    shop: Workshop, model: Path, whole: tuple[dict[str, Any], Run]
) -> None:
    wanted, course = whole
    for at in (1, course.ticks // 3):
        done = shop(*erase(model), tick=at, how=signal.SIGINT)
        assert done.code == 130
        assert done.lines == ["Stopped. Finished stages are kept: the same command goes on."]
        assert not [path for path in shop.folder.rglob("*") if "tmp" in path.name]
    assert not (shop.folder / NAME).exists()
    assert shop(*erase(model)).code == 0
    assert result(shop.folder) == wanted


def test_a_full_disk_is_one_line_and_leaves_nothing_half(
    shop: Workshop, model: Path, whole: tuple[dict[str, Any], Run]
) -> None:
    wanted, _ = whole
    for room, stopped_at in ((1_000, "pictures-tau"), (60_000, "finetune"), (None, ""),
                             (100_000, NAME)):  # fmt: skip
        if room is None:
            assert shop(*erase(model)).code == 0
            (shop.folder / NAME).unlink()  # only that is to be written again
            continue
        done = shop(*erase(model), room=room)
        assert done.code == 1
        assert len(done.lines) == 1, done.err
        assert "no room to write" in done.err
        assert stopped_at in done.err
        assert not [path for path in shop.folder.rglob("*") if "tmp" in path.name]
        assert not (shop.folder / NAME).exists()
    assert shop(*erase(model)).code == 0
    assert result(shop.folder) == wanted


def test_a_loss_that_is_no_number_is_one_line(shop: Workshop, model: Path) -> None:
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    done = shop(*erase(model), "--set", "lr=1e30")
    assert done.code == 1
    assert len(done.lines) == 1, done.err
    assert "lower lr" in done.err
    assert not (shop.folder / NAME).exists()
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
