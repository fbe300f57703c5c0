from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.errors import UnknownName
from excise.models.load import of_pipeline
from excise.primitives.finetune import Optimiser, Term, finetune
from excise.primitives.surgery import off
from excise.rng import generator

NAME = "unet.conv_in.bias"


def normal(n: int, seed: int) -> Tensor:
    return torch.randn(n, generator=generator("surgery", seed))


def dot(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return float(sum((a[n] * b[n]).sum() for n in a if n in b))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_only_a_conflict_is_taken_out_and_nothing_else(sign: float) -> None:
    r = {"a": normal(20, 1), "b": normal(30, 2)}
    g = {"a": sign * r["a"] + 0.3 * normal(20, 3), "b": 0.2 * normal(30, 4), "c": normal(5, 5)}
    found = off(g, r)
    if sign > 0:
        assert dot(g, r) > 0
        assert all(torch.equal(found[name], g[name]) for name in g)
        return
    assert dot(g, r) < -1
    assert abs(dot(found, r)) < 1e-4  # orthogonal now
    change = {name: found[name] - g[name] for name in g}
    along = dot(change, r) / dot(r, r)  # and changed along the other alone
    assert all(torch.allclose(change[name], along * r[name], atol=1e-6) for name in r)
    assert not change["c"].any()


def test_nothing_to_protect_changes_nothing() -> None:
    g = {"a": normal(4, 1)}
    for other in ({}, {"b": normal(3, 2)}, {"a": torch.zeros(4)}):
        assert torch.equal(off(g, other)["a"], g["a"])


def test_a_weight_that_only_the_protected_reaches_moves_with_it() -> None:
    r = {"a": torch.tensor([1.0]), "b": torch.tensor([1.0])}
    found = off({"a": torch.tensor([-2.0])}, r)
    assert found["a"].tolist() == [-1.0]
    assert found["b"].tolist() == [1.0]
    assert dot(found, r) == 0


def test_a_fine_tune_protects_a_term() -> None:
    model: Any = of_pipeline(tiny.stable_diffusion(), "tiny")
    weight = model.parameters(NAME)[NAME]
    against, along = normal(len(weight), 7), normal(len(weight), 8)
    r = {NAME: normal(len(weight), 9)}
    g = {NAME: -2 * r[NAME] + along}

    def linear(gradient: Tensor) -> Any:
        return lambda draw: (weight * gradient).sum()

    def moved(protect: str | None, *, order: int = 1, g: dict[str, Tensor] = g) -> Tensor:
        terms = {"erase": Term(loss=linear(g[NAME])), "retain": Term(loss=linear(r[NAME]))}
        # One step of Adam with a huge eps is a step along the gradient.
        tuned = finetune(
            model,
            NAME,
            dict([*terms.items()][::order]),
            steps=1,
            optimiser=Optimiser(lr=1.0, eps=1e6, clip=None),
            protect=protect,
        )
        return -1e6 * tuned.deltas[NAME]

    assert torch.allclose(moved(None), g[NAME] + r[NAME], rtol=1e-2, atol=1e-2)
    expected = off(g, r)[NAME] + r[NAME]
    assert not torch.allclose(expected, g[NAME] + r[NAME], atol=0.1)
    for order in (1, -1):
        assert torch.allclose(moved("retain", order=order), expected, rtol=1e-2, atol=1e-2)
    agreed = {NAME: r[NAME] + 0.1 * against}
    plain = agreed[NAME] + r[NAME]
    assert torch.allclose(moved("retain", g=agreed), plain, rtol=1e-2, atol=1e-2)
    with pytest.raises(UnknownName, match="term"):
        moved("keep")
