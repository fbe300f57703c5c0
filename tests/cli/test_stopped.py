"""The whole command ``excise erase``, stopped between and inside its stages, and run again."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.workshop import Run, Workshop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="forks, and sends POSIX signals"),
]

SMALL = {
    "steps": 3, "pictures": 4, "batch": 2, "embeddings": 2, "inversion_steps": 2, "samples": 1,
    "carried": 1, "looks": 1, "kept": 48, "plain": 1, "grid": 1.0, "refine": 0, "rounds": 1,
    "heal": 4, "heal_batch": 2, "walks": 2, "pinned": 2, "adversaries": 2, "lasting": 2,
}  # fmt: skip
NAME = "no-cat.safetensors"


def erase(folder: Path) -> list[str | Path]:
    """The command."""
    sets = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    return ["erase", "cat", "--model", folder, "--out", NAME, *sets]


@pytest.fixture(scope="module")
def whole(
    process: Any, knowing: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Run]:
    """What a run leaves that nobody disturbs, and its course."""
    folder = tmp_path_factory.mktemp("whole")
    done = Workshop(folder, process)(*erase(knowing))
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
    shop: Workshop, knowing: Path, whole: tuple[dict[str, Any], Run], after: bool
) -> None:
    wanted, course = whole
    stop, known = 3, -1  # at the third file, so that there is a little progress each time
    for _ in range(course.writes):
        done = shop(*erase(knowing), write=stop, after=after)
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL
        found = len([path for path in shop.folder.rglob("*") if path.suffix == ".safetensors"])
        stop, known = stop + (found == known), found  # the last files are written every time
    assert done.code == 0
    assert shop(*erase(knowing)).code == 0
    assert result(shop.folder) == wanted


def test_killed_within_files_and_steps_it_ends_with_the_same_bytes(
    shop: Workshop, knowing: Path, whole: tuple[dict[str, Any], Run]
) -> None:
    wanted, course = whole
    for part in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert shop(*erase(knowing), half=2).code == -signal.SIGKILL
        at = max(1, int(part * course.ticks / 2))
        if shop(*erase(knowing), tick=at).code == 0:
            break
    assert shop(*erase(knowing)).code == 0
    assert result(shop.folder) == wanted


def test_killed_while_inputs_follow_the_edit_it_ends_with_the_same_bytes(
    shop: Workshop, knowing: Path, whole: tuple[dict[str, Any], Run]
) -> None:
    wanted, _ = whole

    def begun(name: str) -> tuple[int, int]:
        """How many stages of a name are finished, and how many are in the middle."""
        found = list(shop.folder.rglob(f"stages/{name}-*.safetensors"))
        parts = [path for path in found if ".part" in path.name]
        return len(found) - len(parts), len(parts)

    # After the first step of all, and then after the third, at which inputs begin anew.
    for _ in range(2):
        assert shop(*erase(knowing), named="healed", write=1, after=True).code == -signal.SIGKILL
        assert begun("healed") == (0, 1)
    assert shop(*erase(knowing)).code == 0
    assert result(shop.folder) == wanted


def test_ctrl_c_is_one_line_and_leaves_nothing_half(
    shop: Workshop, knowing: Path, whole: tuple[dict[str, Any], Run]
) -> None:
    wanted, course = whole
    for at in (1, course.ticks // 3):
        done = shop(*erase(knowing), tick=at, how=signal.SIGINT)
        assert done.code == 130
        assert done.lines == ["Stopped. Finished stages are kept: the same command goes on."]
        assert not [path for path in shop.folder.rglob("*") if "tmp" in path.name]
    assert not (shop.folder / NAME).exists()
    assert shop(*erase(knowing)).code == 0
    assert result(shop.folder) == wanted


def test_a_full_disk_is_one_line_and_leaves_nothing_half(
    shop: Workshop, knowing: Path, whole: tuple[dict[str, Any], Run]
) -> None:
    wanted, _ = whole
    for room, stopped_at in ((1_000, "pictures-tau"), (60_000, "finetune"), (None, ""),
                             (100_000, NAME)):  # fmt: skip
        if room is None:
            assert shop(*erase(knowing)).code == 0
            (shop.folder / NAME).unlink()  # only that is to be written again
            continue
        done = shop(*erase(knowing), room=room)
        assert done.code == 1
        assert len(done.lines) == 1, done.err
        assert "no room to write" in done.err
        assert stopped_at in done.err
        assert not [path for path in shop.folder.rglob("*") if "tmp" in path.name]
        assert not (shop.folder / NAME).exists()
    assert shop(*erase(knowing)).code == 0
    assert result(shop.folder) == wanted


def test_a_loss_that_is_no_number_is_one_line(shop: Workshop, knowing: Path) -> None:
    before = {path: path.read_bytes() for path in knowing.rglob("*") if path.is_file()}
    done = shop(*erase(knowing), "--set", "lr=1e30")
    assert done.code == 1
    assert len(done.lines) == 1, done.err
    assert "lower lr" in done.err
    assert not (shop.folder / NAME).exists()
    assert {path: path.read_bytes() for path in knowing.rglob("*") if path.is_file()} == before
