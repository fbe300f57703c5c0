"""How ``--judge`` finds a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.judges.test_classifier import save

from excise.api import judging
from excise.api.judging import judges_for
from excise.errors import BadFile, MissingJudge
from excise.judges.classifier import Classifier
from excise.judges.nudenet import NudeNet
from excise.judges.zero_shot_clip import ZeroShotClip
from excise.models.load import ASSETS
from excise.types import Concept

CAT = Concept("cat")


class Model:
    name = "m"
    known: tuple[Concept, ...] = ()


MODEL: Any = Model()


def found(judge: Any) -> Any:
    return judges_for(MODEL, (CAT,), judge).first


def test_a_judge_is_found_by_its_name_folder_or_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found("nudenet") == NudeNet()
    folder = save(tmp_path / "judge")
    assert found(folder) == found(str(folder)) == Classifier(folder=str(folder))
    asked = []

    def checkpoint(name: str) -> Path:
        asked.append(name)
        return folder

    monkeypatch.setattr(judging, "checkpoint", checkpoint)
    assert found("somebody/a-classifier") == Classifier(folder="somebody/a-classifier")
    assert asked == ["somebody/a-classifier"]
    clip = found(ASSETS / "clip")
    assert isinstance(clip, ZeroShotClip)
    assert clip.labels[0] == "cat"


def test_a_folder_comes_before_a_judge_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("nudenet"))
    assert found("nudenet") == Classifier(folder="nudenet")


def test_what_is_no_judge_is_refused_with_the_ways(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="--judge"):
        found("nobody")
    with pytest.raises(BadFile, match="hub"):
        found("nobody/nothing")
    with pytest.raises(BadFile, match="--judge"):
        found(tmp_path)
    with pytest.raises(MissingJudge, match="nudenet"):
        found(None)
