"""What was drawn once is found again: in this run, where it was kept, and in what ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tests.suite import two
from torch import Tensor

from excise.primitives.probe import Probe, shots
from excise.store import Archive, Cache
from excise.store.archive import pack
from excise.suite.arms import Arm
from excise.suite.bench import Bench
from excise.suite.sizes import SIZES
from excise.types import Prompt


class Seeing(two.Two):
    """Describes pictures, too."""

    def features(self, pictures: Tensor) -> Tensor:
        return pictures.float().mean(dim=(2, 3)) / 255


PROBE = Probe(shots=shots((Prompt("a dog"),), "dog", "dog", 3))


def bench(folder: Path, judge: Any) -> Bench:
    model = two.model()
    arm = Arm(key="base", label="before", role="base", model=model)
    return Bench(
        arms={"base": arm}, concept=two.CAT, judge=judge, sizes=SIZES["quick"], cache=Cache(folder)
    )


def drawn() -> int:
    return int(two.model().costs.pictures)


def test_features_are_found_again_with_the_pictures(tmp_path: Path) -> None:
    made = bench(tmp_path, Seeing())
    before = drawn()
    plain = made.every(PROBE, "a")["base"]
    assert plain.features == {}
    look = made.every(PROBE, "a", described=True)["base"]
    assert drawn() == before + 6  # the pictures themselves are not kept, so they are drawn again
    assert look.features["features"].shape == (3, 3)
    assert torch.equal(look.thumbs, plain.thumbs)
    assert made.every(PROBE, "a")["base"].features.keys() == {"features"}
    again = bench(tmp_path, Seeing())
    found = again.every(PROBE, "a", described=True)["base"]
    assert torch.equal(found.features["features"], look.features["features"])
    assert again.every(PROBE, "a")["base"].features.keys() == {"features"}
    assert drawn() == before + 6
    sharper = bench(tmp_path, Seeing(sharp=3.0))  # another judge may describe otherwise
    sharper.every(PROBE, "a", described=True)
    assert drawn() == before + 9


def test_a_judge_without_features_describes_nothing(tmp_path: Path) -> None:
    made = bench(tmp_path, two.Two())
    assert made.extractors == {}
    before = drawn()
    made.every(PROBE, "a", described=True)
    made.every(PROBE, "a")
    assert drawn() == before + 3


def test_results_that_ship_are_read_and_never_written(tmp_path: Path) -> None:
    made = bench(tmp_path / "mine", two.Two())
    before = drawn()
    look = made.every(PROBE, "a")["base"]
    file = tmp_path / "results.zip"
    pack(file, (tmp_path / "mine").rglob("*.safetensors"))
    ships = file.read_bytes()
    other = replace(bench(tmp_path / "yours", two.Two()), shipped=Archive(file))
    assert torch.equal(other.every(PROBE, "a")["base"].thumbs, look.thumbs)
    assert drawn() == before + 3
    stricter = replace(bench(tmp_path / "yours", two.Two(sharp=3.0)), shipped=Archive(file))
    stricter.every(PROBE, "a")  # another judge: nothing of it ships
    assert drawn() == before + 6
    assert file.read_bytes() == ships


def test_what_no_digest_tells_is_described_afresh(tmp_path: Path) -> None:
    """Two functions without a name of their own are not taken for one another."""
    for scale in (1.0, 2.0):
        made = replace(bench(tmp_path, two.Two()), features=lambda x, by=scale: by * _means(x))
        look = made.look(made.arms["base"], PROBE, "a", described=True)
        assert torch.allclose(look.features["features"], scale * _means(look.thumbs), atol=0.02)


def _means(pictures: Tensor) -> Tensor:
    return pictures.float().mean(dim=(2, 3)) / 255
