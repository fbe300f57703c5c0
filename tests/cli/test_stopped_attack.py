"""The whole command ``excise attack``, stopped between and inside its stages, and run again."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.workshop import Run, Workshop

from excise.edit import Edit, Recipe
from excise.models.load import load
from excise.store import hash_tensors, load_tensors

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="forks, and sends POSIX signals"),
]

SMALL = {"rung": 1, "restarts": 2, "steps": 6, "samples": 1}
CLOCKS = {"seconds", "peak_bytes"}
"""What no two runs have in common."""


@pytest.fixture(scope="module")
def asked(knowing: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The command: an attack on an edit of the tiny model, in sentences that its encoder holds."""
    place = tmp_path_factory.mktemp("asked")
    model = load(str(knowing))
    bias = "unet.conv_out.bias"
    delta = torch.full_like(model.parameters("unet")[bias], 0.3)
    edit = Edit.of(model, {bias: delta}, recipe=Recipe(method="brighter", verified=True))
    edit.save(place / "edit.safetensors")
    cat = place / "cat.toml"
    cat.write_text('name = "cat"\ntemplates = ["{a}", "a photo of {a}"]\n')
    sets = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    return [
        "attack", cat, "--model", knowing, "--edit", place / "edit.safetensors",
        "--budget", "quick", "--method", "concept_inversion", *sets,
        "--out", "out", "--found", "found",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(
    process: Any, asked: list[str | Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Run]:
    """What a run leaves that nobody disturbs, and its course."""
    folder = tmp_path_factory.mktemp("whole")
    done = Workshop(folder, process)(*asked)
    assert done.code == 0, done.err
    return result(folder), done


def result(folder: Path) -> dict[str, Any]:
    """By file what is in it, all but times and memory; the page itself is made from the rest."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            found[name] = timeless(json.loads(path.read_text()))
        elif path.suffix == ".safetensors":
            tensors, record = load_tensors(path)
            found[name] = hash_tensors(tensors), timeless(record)
        elif path.is_dir() or path.suffix == ".html":
            found[name] = "is there"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def timeless(value: Any) -> Any:
    """JSON values without what a clock and a machine's memory say."""
    if isinstance(value, dict):
        return {key: timeless(own) for key, own in value.items() if key not in CLOCKS}
    return [timeless(own) for own in value] if isinstance(value, list) else value


def stages(folder: Path) -> int:
    """How many results of the models were kept, beside the report and between runs."""
    kept = Path(f"{folder}-cache")
    return len([*(folder / "out").rglob("stages/*.safetensors"), *kept.rglob("*.safetensors")])


def test_the_run_has_stages_to_be_stopped_in(whole: tuple[dict[str, Any], Run]) -> None:
    files, done = whole
    assert {"out/report.json", "out/report.html", "found/concept_inversion.safetensors"} <= {*files}
    assert len([name for name in files if name.startswith("out/stages/")]) >= 5
    assert done.ticks >= 20
    assert done.writes >= 15
    assert not [name for name in files if "tmp" in name or ".part" in name]
    (attack,) = files["out/report.json"]["attacks"]
    assert attack["rates"].keys() == {"base", "edit"}


def test_the_same_command_does_nothing_twice(
    shop: Workshop, asked: list[str | Path], whole: tuple[dict[str, Any], Run]
) -> None:
    assert shop(*asked).code == 0
    kept = stages(shop.folder)
    again = shop(*asked)
    assert again.code == 0
    assert stages(shop.folder) == kept
    assert again.ticks < whole[1].ticks / 2
    assert result(shop.folder) == whole[0]


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_file_it_ends_with_the_same_report(
    shop: Workshop, asked: list[str | Path], whole: tuple[dict[str, Any], Run], after: bool
) -> None:
    wanted, course = whole
    stop, known, kills = 2, -1, 0
    for _ in range(2 * course.writes):
        done = shop(*asked, write=stop, after=after)
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL
        kills += 1
        kept = stages(shop.folder)
        stop, known = stop + (kept == known), kept  # the report's own files are written every time
    assert done.code == 0
    assert kills >= 8
    assert result(shop.folder) == wanted


def test_killed_within_files_and_searches_it_ends_with_the_same_report(
    shop: Workshop, asked: list[str | Path], whole: tuple[dict[str, Any], Run]
) -> None:
    wanted, course = whole
    kills = 0
    for part in (0.2, 0.4, 0.6, 0.8, 1.0):
        for stop in ({"half": 2}, {"tick": max(1, int(part * course.ticks / 2))}):
            done = shop(*asked, **stop)
            assert done.code in (0, -signal.SIGKILL), done.err
            kills += done.code != 0
    assert kills >= 5
    assert shop(*asked).code == 0
    assert result(shop.folder) == wanted
