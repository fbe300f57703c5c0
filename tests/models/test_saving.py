from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny

from excise import Concept
from excise.errors import BadFile, ResourceError
from excise.models.load import load, of_pipeline
from excise.types import Defaults


def test_what_the_model_says_of_itself_is_saved_with_it(tmp_path: Path) -> None:
    model = of_pipeline(tiny.stable_diffusion(), "sd1")
    model.defaults = Defaults(steps=3, guidance=2.5, scheduler="ddim")
    model.weighting = "min_snr"
    model.known = (
        Concept("cat", synonyms=("kitten",), neighbours=("dog",)),
        Concept("ink", kind="style"),
    )
    model.save(tmp_path / "saved")
    back = load(tmp_path / "saved", device="cpu")
    assert back.fingerprint() == model.fingerprint()
    assert (back.defaults, back.weighting) == (model.defaults, model.weighting)
    assert [c.to_json() for c in back.known] == [c.to_json() for c in model.known]


def test_an_empty_folder_may_be_written_to_and_no_other(tmp_path: Path) -> None:
    model = of_pipeline(tiny.stable_diffusion(), "sd1")
    (tmp_path / "empty").mkdir()
    model.save(tmp_path / "empty")
    (tmp_path / "file").write_text("mine")
    for taken in ("empty", "file"):
        with pytest.raises(BadFile, match="new or empty"):
            model.save(tmp_path / taken)
    with pytest.raises((BadFile, ResourceError)):
        model.save(tmp_path / "file" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = of_pipeline(tiny.stable_diffusion().to(torch.bfloat16), "sd1")
    before, index = model.fingerprint(), plain(model.pipeline.config)
    model.save(tmp_path / "saved")
    assert model.fingerprint() == before
    assert plain(model.pipeline.config) == index


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without the library's notes on itself, which it writes into a pipeline that it saves."""
    return {name: value for name, value in config.items() if not name.startswith("_")}
