from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from excise import registry
from excise.errors import BadFile, BadSetting, MissingJudge, UnknownName
from excise.judges.nudenet import CLASSES, COUNTED, EXPOSED, NudeNet, _arrays
from excise.types import Concept

BREAST, BELLY = "FEMALE_BREAST_EXPOSED", "BELLY_EXPOSED"


class Stand:
    """Finds a breast in what is red, twice, and a belly in what is blue."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def detect_batch(
        self, image_paths: Any, batch_size: int = 4
    ) -> Sequence[Sequence[Mapping[str, Any]]]:
        assert len(image_paths) == batch_size
        self.asked.append(batch_size)
        return [self._found(one) for one in image_paths]

    def _found(self, array: np.ndarray) -> list[dict[str, Any]]:
        assert array.dtype == np.uint8
        assert array.shape[-1] == 3
        assert array.flags["C_CONTIGUOUS"]
        blue, _, red = array.mean(axis=(0, 1)) / 255  # as OpenCV has them
        box = [0, 0, 1, 1]
        return [
            {"class": name, "score": float(score), "box": box}
            for name, score in ((BREAST, red / 2), (BREAST, red), (BELLY, blue))
            if score > 0
        ]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NudeNet:
    (tmp_path / "320n.onnx").write_bytes(b"weights")
    monkeypatch.setattr(NudeNet, "detector", Stand())
    monkeypatch.setattr(NudeNet, "version", "3.9")
    return NudeNet(model=str(tmp_path / "320n.onnx"), batch=2)


def paint(*colours: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, 8, 12)


def test_each_class_has_its_largest_score_and_nudity_that_of_what_counts(judge: NudeNet) -> None:
    scores = judge.scores(paint((0.8, 0, 0), (0, 0, 1), (0, 1, 0)))
    assert scores.shape == (3, len(judge.labels))
    column = {name: scores[:, i].tolist() for i, name in enumerate(judge.labels)}
    assert column[BREAST] == pytest.approx([0.8, 0, 0], abs=0.01)
    assert column[BELLY] == [0, 1, 0]
    assert column["nudity"] == column[BREAST]  # a belly does not count
    wide = NudeNet(model=judge.model, counted=(*COUNTED, BELLY))
    assert wide.scores(paint((0, 0, 1)))[0, 0] == 1
    assert judge.scores(torch.empty(0, 3, 8, 8)).shape == (0, len(judge.labels))
    assert judge.detector.asked[:2] == [2, 1]  # type: ignore[attr-defined]


def test_what_counts_is_bare_and_less_than_all_that_is() -> None:
    assert len(EXPOSED) == 9
    assert set(COUNTED) < set(EXPOSED) < set(CLASSES)


def test_numbers_and_floats_are_the_same_picture(judge: NudeNet) -> None:
    pictures = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(judge.scores(pictures), judge.scores(pictures.float() / 255))


def test_it_answers_for_nudity_and_for_nothing_else_that_it_cannot_see(judge: NudeNet) -> None:
    naked = Concept("naked people", kind="implicit", synonyms=("nudity",))
    score = judge.score(paint((1, 0, 0), (0, 1, 0)), naked)
    assert score.shown.tolist() == [True, False]
    assert (score.concept, score.threshold, score.judge) == ("nudity", 0.6, "NudeNet 3.9 320n")
    with pytest.raises(UnknownName, match="no label of the judge"):
        judge.score(paint((1, 0, 0)), "cat")


def test_version_labels_threshold_and_weights_make_the_judge(
    judge: NudeNet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert judge.digest == NudeNet(model=judge.model, batch=7).digest
    others = [
        NudeNet(model=judge.model, threshold=0.45),
        NudeNet(model=judge.model, counted=COUNTED[:2]),
        NudeNet(model=judge.model, resolution=640),
    ]
    (tmp_path / "other.onnx").write_bytes(b"other weights")
    others.append(NudeNet(model=str(tmp_path / "other.onnx")))
    digests = {judge.digest, *(other.digest for other in others)}
    monkeypatch.setattr(NudeNet, "version", "4.0")
    assert len({*digests, NudeNet(model=judge.model).digest}) == 6
    assert "at 0.6" in judge.note
    assert "AGPL" in judge.note


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="threshold"):
        NudeNet(threshold=0)
    with pytest.raises(BadSetting, match="did you mean 'BELLY_EXPOSED'"):
        NudeNet(counted=("BELY_EXPOSED",))
    with pytest.raises(BadFile, match=r"\.onnx"):
        _ = NudeNet(model=str(tmp_path / "none.onnx")).weights


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nudenet", None)
    made = registry.create("judge", "nudenet", {"threshold": "0.5"})
    with pytest.raises(MissingJudge, match=r"pip install 'excise\[nudenet\]'"):
        made.scores(paint((1, 0, 0)))
    if find_spec("nudenet") is None:
        with pytest.raises(MissingJudge, match="nudenet"):
            _ = made.title


def test_the_real_package_answers_as_for_files(tmp_path: Path) -> None:
    pytest.importorskip("nudenet", exc_type=ImportError)
    judge = NudeNet()
    assert judge.title.startswith("NudeNet 3.")
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (2, 3, 40, 64), dtype=torch.uint8, generator=generator)
    files = []
    for i, picture in enumerate(pictures):
        files.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(files[-1])
    assert judge.detector.detect_batch(_arrays(pictures)) == judge.detector.detect_batch(files)
    assert judge.scores(pictures).shape == (2, 1 + len(CLASSES))
    module = sys.modules[type(judge.detector).__module__]
    assert set(module.__dict__["__labels"]) == set(CLASSES)
    assert len(judge.digest) == 64
