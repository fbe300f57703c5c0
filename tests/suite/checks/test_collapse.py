from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.suite.checks.staged import bench, empty, evidence, look, names

from excise.primitives.arithmetic import Guidance
from excise.suite.checks.collapse import guidance_ratio, pictures_alike
from excise.suite.pull import Pull


def drawn(spread: float, seed: int = 0) -> Any:
    """Pictures that differ by this much around one of them."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.rand(12, 3, 16, 16, generator=rng)
    thumbs = (255 * (0.5 + spread * (noise - 0.5))).round().to(torch.uint8)
    return look(torch.full((12, 1), 0.9), thumbs)


def test_one_picture_for_every_prompt_is_a_collapse() -> None:
    kept = {"base": drawn(1.0), "edit": drawn(0.05)}
    (check,) = pictures_alike(evidence(record=empty(), kept=kept))
    assert (check.name, check.level) == ("pictures_alike", "error")
    assert "before" in check.found
    alone = evidence(bench("edit"), empty(), kept={"edit": drawn(0.0)})
    assert names(pictures_alike(alone)) == ["pictures_alike"]


def test_pictures_that_differ_are_none() -> None:
    kept = {"base": drawn(1.0), "edit": drawn(0.9, 1)}
    assert names(pictures_alike(evidence(record=empty(), kept=kept))) == []
    assert names(pictures_alike(evidence(bench("edit"), empty(), kept={"edit": drawn(1.0)}))) == []
    assert names(pictures_alike(evidence(record=empty()))) == []  # nobody drew any


@pytest.mark.parametrize(
    ("null", "concept", "raised"),
    [
        (-0.2, -0.1, ["guidance_ratio"]),
        (-0.1, -0.2, []),
        (0.0, -0.1, []),
        (0.1, 0.1, ["guidance_ratio"]),
        (0.0, 0.0, []),
    ],
)
def test_an_edit_that_guidance_undoes_is_told(
    null: float, concept: float, raised: list[str]
) -> None:
    own = bench(plain=SimpleNamespace(defaults=SimpleNamespace(guidance=4.0)))
    pull = Pull(found=Guidance(null=null, concept=concept))
    assert names(guidance_ratio(evidence(own, empty(), pull=pull))) == raised
    plain = bench(plain=SimpleNamespace(defaults=SimpleNamespace(guidance=1.0)))
    assert names(guidance_ratio(evidence(plain, empty(), pull=pull))) == []


def test_where_it_cannot_be_measured_it_is_said() -> None:
    own = bench(plain=SimpleNamespace(defaults=SimpleNamespace(guidance=4.0)))
    (check,) = guidance_ratio(evidence(own, empty(), pull=Pull(why="it is a guard")))
    assert (check.name, check.level) == ("guidance_not_measured", "info")
    assert "it is a guard" in check.found
    assert names(guidance_ratio(evidence(own, empty()))) == []
