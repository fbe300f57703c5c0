from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import excise.store.stages
from excise.rng import generator
from excise.store import Stages


def walk(stages: Stages, steps: int, stop_at: int | None = None) -> Tensor:
    """A loop as long runs have it: its state is a tensor, a step and a generator."""
    stage = stages.stage("walk", key={"steps": steps})
    if done := stage.load():
        return done.tensors["x"]
    draw = generator("walk")
    x, first = torch.zeros(3), 0
    if begun := stage.resume():
        x, first = begun.tensors["x"].clone(), begun.record["step"]
        draw.set_state(begun.tensors["rng"].clone())
    for step in range(first, steps):
        if step == stop_at:
            raise KeyboardInterrupt
        x = x + torch.randn(3, generator=draw)
        state = {"x": x, "rng": draw.get_state()}
        stage.checkpoint(lambda state=state, step=step: (state, {"step": step + 1}))
    return stage.finish({"x": x}, {"steps": steps}).tensors["x"]


@pytest.mark.parametrize("every", [0.0, 1e9])
@pytest.mark.parametrize("stop", [0, 1, 5, 9])
def test_a_stopped_run_ends_as_if_it_had_not_been(tmp_path: Path, stop: int, every: float) -> None:
    whole = walk(Stages(tmp_path / "whole"), 10)
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        walk(Stages(folder, every_seconds=every), 10, stop_at=stop)
    assert torch.equal(walk(Stages(folder, every_seconds=every), 10), whole)
    assert len(list(folder.iterdir())) == 1  # the checkpoint is gone


def test_a_finished_stage_is_not_computed_again(tmp_path: Path) -> None:
    calls = []

    def compute() -> tuple[dict[str, Tensor], str]:
        calls.append(1)
        return {"x": torch.ones(2)}, "made"

    for _ in range(2):
        made = Stages(tmp_path).stage("a", key=[1]).get(compute)
        assert made.record == "made"
        assert torch.equal(made.tensors["x"], torch.ones(2))
    assert len(calls) == 1


def test_another_key_name_or_version_is_another_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = Stages(tmp_path)
    stages.stage("a", key={"seed": 0}).finish({}, 1)
    assert stages.stage("a", key={"seed": 0}).load() is not None
    assert stages.stage("a", key={"seed": 1}).load() is None
    assert stages.stage("b", key={"seed": 0}).load() is None
    monkeypatch.setattr(excise.store.stages, "__version__", "0.0.0")
    assert stages.stage("a", key={"seed": 0}).load() is None


def test_a_file_of_another_key_in_the_same_place_is_not_taken(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    one, two = stages.stage("a", key=1), stages.stage("a", key=2)
    one.finish({}, "one")
    two.path.write_bytes(one.path.read_bytes())
    assert two.load() is None


def test_a_damaged_artefact_counts_as_absent(tmp_path: Path) -> None:
    stage = Stages(tmp_path).stage("a", key=1)
    stage.finish({"x": torch.zeros(9)}, None)
    stage.path.write_bytes(stage.path.read_bytes()[:-4])
    assert stage.load() is None


def test_a_checkpoint_goes_with_the_run_that_finished_after_it(tmp_path: Path) -> None:
    stage = Stages(tmp_path).stage("a", key=1)
    stage.checkpoint(lambda: ({}, "on the way"), force=True)
    left = tmp_path / "left"
    (part,) = tmp_path.glob("*.part.safetensors")
    part.rename(left)
    stage.finish({}, "done")
    left.rename(part)  # as if a kill had come between the result and this
    again = Stages(tmp_path).stage("a", key=1).load()
    assert again is not None
    assert again.record == "done"
    assert list(tmp_path.iterdir()) == [stage.path]


def test_checkpoints_keep_their_distance(tmp_path: Path) -> None:
    now = [0.0]
    stage = Stages(tmp_path, every_seconds=60, clock=lambda: now[0]).stage("a", key=1)
    saved = []
    for second in range(0, 300, 7):
        now[0] = float(second)
        saved.append(stage.checkpoint(lambda: ({}, None)))
    assert sum(saved) == 4
    assert stage.checkpoint(lambda: ({}, "last"), force=True)
    assert stage.resume().record == "last"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b"])
def test_a_name_must_be_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        Stages(tmp_path).stage(name, key=1)
