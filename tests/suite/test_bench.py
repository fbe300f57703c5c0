"""Pictures are described where a section asks for it, and that is part of what they are kept by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tests.suite import two
from torch import Tensor

from excise.primitives.probe import Probe, shots
from excise.store import Cache
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
