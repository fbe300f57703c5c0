from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadFile, Unsupported
from excise.primitives.vision import PREPROCESSOR, Given, Input, checkpoint, extractor_of

HALF = [0.5, 0.5, 0.5]


def read(folder: Path, **config: Any) -> Input:
    (folder / PREPROCESSOR).write_text(json.dumps({"image_mean": HALF, **config}))
    return Input.of(folder, 224)


def test_input_is_read_and_pictures_are_prepared(tmp_path: Path) -> None:
    wanted = read(tmp_path, size={"height": 8, "width": 8}, image_std=[1, 2, 4])
    assert wanted.size == 8
    white = torch.full((2, 3, 16, 32), 255, dtype=torch.uint8)
    out = wanted.prepare(white)
    assert out.shape == (2, 3, 8, 8)
    assert out[0, :, 0, 0].tolist() == pytest.approx([0.5, 0.25, 0.125])
    assert Input.of(tmp_path / "none", 24) == Input(size=24)


@pytest.mark.parametrize(
    ("config", "size", "middle"),
    [
        ({"size": 384}, 384, 1.0),  # as old checkpoints write it
        ({"size": {"shortest_edge": 256}}, 256, 1.0),
        ({"size": {"shortest_edge": 9}, "crop_size": {"height": 7, "width": 7}}, 7, 7 / 9),
        ({"size": 256, "crop_size": 224, "do_center_crop": False}, 256, 1.0),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, 224, 0.875),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, 384, 1.0),
    ],
)
def test_sides_are_read_however_they_are_written(
    tmp_path: Path, config: dict[str, Any], size: int, middle: float
) -> None:
    found = read(tmp_path, **config)
    assert (found.size, found.middle) == (size, middle)


def test_what_else_a_checkpoint_asks_for(tmp_path: Path) -> None:
    found = read(tmp_path, size=8, resample=2, do_normalize=False, do_flip_channel_order=True)
    pictures = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(pictures, size=(8, 8), mode="bilinear", antialias=True).flip(1)
    assert torch.equal(found.prepare(pictures), wanted)
    with pytest.raises(Unsupported, match="rescale_factor"):
        read(tmp_path, size=8, rescale_factor=1 / 127.5)


def test_only_the_middle_square_is_seen() -> None:
    picture = torch.zeros(1, 3, 4, 12)
    picture[..., 4:8] = 1.0
    plain = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    assert torch.all(Input(size=4, **plain).prepare(picture) == 1.0)  # type: ignore[arg-type]
    inner = torch.zeros(1, 3, 8, 8)
    inner[..., 2:6, 2:6] = 1.0
    assert torch.all(Input(size=4, middle=0.5, **plain).prepare(inner) == 1.0)  # type: ignore[arg-type]


def test_a_checkpoint_is_a_folder_or_an_id(tmp_path: Path) -> None:
    assert checkpoint(tmp_path) == tmp_path
    with pytest.raises(BadFile, match="folder of a checkpoint"):
        checkpoint("nowhere")
    with pytest.raises(BadFile, match="on the hub that can be reached"):
        checkpoint("nobody/nothing")  # the tests are offline


class Panel:
    def features(self, pictures: Tensor) -> Tensor:
        return pictures.float().mean(dim=(2, 3))


def test_features_come_from_a_judge_a_jury_or_any_function() -> None:
    class Jury:
        panels = (Panel(), object())

    pictures = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    wanted = Panel().features(pictures)
    for thing in (Panel(), Jury(), Panel().features):
        found = extractor_of(thing)
        assert found is not None
        assert torch.equal(found.features(pictures), wanted)
    assert torch.equal(Given(call=Panel().features, batch=2).features(pictures), wanted)
    assert extractor_of(object()) is None
    assert extractor_of(None) is None
