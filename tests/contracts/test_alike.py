"""Which edits count as one and the same: what the erasers' contract says of any two methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from tests import tiny
from tests.contracts.erasing import alike, drawn
from torch import Tensor

from excise.edit import Edit, Recipe
from excise.erasers.base import Eraser
from excise.erasers.esd import ESD
from excise.erasers.sld import SLD
from excise.erasers.uce import UCE
from excise.models.load import of_pipeline
from excise.rng import generator
from excise.settings import build
from excise.types import Concept


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"guidance": 3.0})


def renamed(kind: type[Eraser]) -> type[Eraser]:
    """The same method under another name."""

    @dataclass(frozen=True, kw_only=True)
    class Twin(kind):  # type: ignore[misc,valid-type]
        name: ClassVar[str] = f"{kind.name}_too"

    return Twin


def effect(model: Any, eraser: Eraser) -> tuple[Edit, Tensor]:
    edit = eraser.run(model, Concept("cat"))
    with edit.applied(model):
        return edit, drawn(model)


@pytest.mark.parametrize("kind", [ESD, UCE, SLD])
def test_a_method_under_two_names_is_found(model: Any, kind: type[Eraser]) -> None:
    _, first = effect(model, build(kind, kind.smallest))
    _, second = effect(model, build(renamed(kind), kind.smallest))
    assert alike(drawn(model), {"a": first, "b": second}) == [("a", "b")]


def test_also_where_the_edits_have_other_bytes(model: Any) -> None:
    base, (edit, plain) = drawn(model), effect(model, UCE())
    deltas = {name: edit.dense(name) * (1 + 1e-6) for name in edit.deltas}
    other = Edit.of(model, deltas, recipe=Recipe(method="uce_too"))
    assert other.digest != edit.digest
    with other.applied(model):
        assert alike(base, {"a": plain, "b": drawn(model)}) == [("a", "b")]


def test_methods_that_differ_are_told_apart_however_little_they_do(model: Any) -> None:
    base = drawn(model)
    effects = {
        "uce": effect(model, UCE())[1],
        "strong": effect(model, UCE(erase_scale=100.0))[1],
        "sld": effect(model, SLD())[1],
    }
    name = "unet.conv_out.weight"
    weight = model.parameters(name)[name]
    for i in range(2):
        delta = 1e-4 * weight.std() * noise(weight.shape, i)
        with Edit.of(model, {name: delta}, recipe=Recipe(method="noise")).applied(model):
            effects[f"noise {i}"] = drawn(model)
    assert alike(base, effects) == []


def test_edits_that_do_nothing_are_one(model: Any) -> None:
    base = drawn(model)
    assert alike(base, {"a": base.clone(), "b": base.clone()}) == [("a", "b")]


def noise(shape: Any, seed: int) -> Tensor:
    return torch.randn(shape, generator=generator("alike", seed))
