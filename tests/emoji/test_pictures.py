from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from excise.api.concepts import read_pictures
from excise.emoji.pictures import concept_pictures, main, save_pictures
from excise.emoji.world import watermark_mask
from excise.errors import UnknownName, UserError


def test_the_same_seed_gives_the_same_pictures_and_more_only_add() -> None:
    few, many = concept_pictures("cat", 3), concept_pictures("cat", 5)
    assert few.dtype == torch.uint8
    assert few.shape == (3, 3, 64, 64)
    assert torch.equal(few, many[:3])
    assert not torch.equal(few, concept_pictures("cat", 3, seed=1))
    assert len({picture.numpy().tobytes() for picture in many}) == 5


def test_every_picture_of_the_watermark_has_it_and_of_other_things_a_third() -> None:
    mask, ink = torch.from_numpy(watermark_mask() == 1), torch.tensor([199.0, 13.0, 89.0])

    def marked(name: str, n: int) -> float:
        inside = concept_pictures(name, n).float()[:, :, mask]  # (n, 3, letters)
        return float(((inside - ink[:, None]).abs().amax(dim=(1, 2)) < 2).float().mean())

    assert marked("watermark", 24) == 1.0
    assert 0.1 < marked("cat", 90) < 0.6


def test_a_style_is_in_every_picture_of_it() -> None:
    sketches = concept_pictures("sketch", 8).float()
    colour = (sketches.amax(dim=1) - sketches.amin(dim=1))[..., :48, :40]  # away from the stamp
    assert float(colour.max()) < 40


def test_an_object_can_be_had_in_one_style_or_in_any() -> None:
    def colourless(style: str | None) -> float:
        pictures = concept_pictures("cat", 40, style=style).float()
        colour = (pictures.amax(dim=1) - pictures.amin(dim=1))[..., :48, :40]
        return float((colour.flatten(1).amax(dim=1) < 40).float().mean())

    assert colourless("plain") == 0.0
    assert 0.0 < colourless(None) < 0.5
    assert colourless("sketch") == 1.0


def test_what_was_written_is_read(tmp_path: Path) -> None:
    save_pictures("watermark", 4, tmp_path)
    assert torch.equal(read_pictures(tmp_path), concept_pictures("watermark", 4))
    main(["fox", "--out", str(tmp_path / "more"), "-n", "2", "--seed", "3"])
    again = read_pictures(tmp_path / "more")
    assert np.array_equal(again.numpy(), concept_pictures("fox", 2, seed=3).numpy())


def test_what_the_world_lacks(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="zebra"):
        concept_pictures("zebra", 1)
    with pytest.raises(UserError, match="one picture"):
        concept_pictures("cat", 0)
    with pytest.raises(UnknownName, match="cubism"):
        concept_pictures("cat", 1, style="cubism")
    with pytest.raises(UserError, match="no other style"):
        concept_pictures("sketch", 1, style="neon")
    with pytest.raises(SystemExit):
        main(["zebra", "--out", str(tmp_path)])
