from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.errors import BadSetting, UserError
from excise.hooks.leace import LEACE
from excise.hooks.places import Place, places
from excise.models.load import of_pipeline
from excise.primitives.affine_erasure import CentredMoments, leace
from excise.primitives.bands import banded
from excise.rng import generator
from excise.types import Condition


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


def fitted(cond: Condition, found: list[Place]) -> LEACE:
    """To random labels of all vectors there."""
    parts: dict[str, dict[str, Tensor]] = {"mean": {}, "left": {}, "right": {}}
    for place in found:
        x = place.take(cond.tensors[place.feature]).flatten(0, -2)
        z = torch.rand(len(x), 2, generator=generator("labels", place.key))
        erasure = leace(CentredMoments.of(x, z))
        for name, own in parts.items():
            own[place.key] = getattr(erasure, name).float()
    return LEACE(**parts)


@pytest.fixture(scope="module")
def cond(model: Any) -> Condition:
    return model.encode(["a cat", "a photo of a dog", "the red tree", "x"]).detach()


@pytest.fixture(scope="module")
def hook(model: Any, cond: Condition) -> LEACE:
    return fitted(cond, list(places(model)))


def test_the_places_are_all_that_the_encoders_made(model: Any, cond: Condition) -> None:
    found = places(model)
    tokens = sorted(p.rows for p in found if p.rows is not None)
    assert tokens[0][0] == 0
    assert tokens[-1][1] == cond.hidden.shape[1]
    assert all(a[1] == b[0] for a, b in pairwise(tokens))
    assert {p.feature for p in found} == {"hidden", "pooled"} & set(cond.tensors)
    assert all(encoder in cond.tokens for encoder in found.values())
    assert all(Place.parse(p.key) == p for p in found)


def test_it_is_the_affine_map_at_every_place(model: Any, cond: Condition, hook: LEACE) -> None:
    mapped, none = hook.condition(model, (), cond, None)
    assert none is None
    for place in places(model):
        x = place.take(cond.tensors[place.feature]).double()
        mean, left, right = (
            getattr(hook, n)[place.key].double() for n in ("mean", "left", "right")
        )
        expected = x - torch.einsum("ij,jk,...k->...i", left, right, x - mean)
        found = place.take(mapped.tensors[place.feature]).double()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(found, x, atol=1e-3)


def test_it_is_idempotent(model: Any, cond: Condition, hook: LEACE) -> None:
    once, _ = hook.condition(model, (), cond, None)
    twice, _ = hook.condition(model, (), once, None)
    for name in once.tensors:
        torch.testing.assert_close(twice.tensors[name], once.tensors[name], rtol=1e-4, atol=1e-3)


def test_half_and_half_of_what_is_left_is_three_quarters(
    model: Any, cond: Condition, hook: LEACE
) -> None:
    half = hook.scaled(0.5)
    two, _ = half.condition(model, (), half.condition(model, (), cond, None)[0], None)
    one, _ = hook.scaled(0.75).condition(model, (), cond, None)
    torch.testing.assert_close(two.hidden, one.hidden, rtol=1e-4, atol=1e-3)


def test_the_unconditional_is_mapped_unless_it_is_no_text(model: Any, hook: LEACE) -> None:
    null = model.null(2)
    _, mapped = hook.condition(model, (), model.encode(["a cat"] * 2), null)
    if model.family == "sdxl":
        assert torch.equal(mapped.hidden, torch.zeros_like(null.hidden))
    else:
        assert not torch.allclose(mapped.hidden, null.hidden, atol=1e-3)


def test_bands_are_mapped_too(model: Any, cond: Condition, hook: LEACE) -> None:
    """Or a conditioning that changes from step to step would go past it."""
    bands = banded(cond, {"hidden": torch.stack([cond.hidden, 2 * cond.hidden], dim=1)})
    mapped, _ = hook.condition(model, (), bands, None)
    plain, _ = hook.condition(model, (), cond, None)
    torch.testing.assert_close(mapped.tensors["bands/hidden"][:, 0], plain.hidden)


def test_weights_that_do_not_fit_are_refused(model: Any, cond: Condition) -> None:
    one = {"hidden/0/2": torch.ones(3)}
    left, right = {"hidden/0/2": torch.ones(3, 1)}, {"hidden/0/2": torch.ones(1, 3)}
    with pytest.raises(BadSetting, match="same places"):
        LEACE(mean=one, left={}, right=right)
    with pytest.raises(BadSetting, match=r"left \(d, k\)"):
        LEACE(mean=one, left=right, right=left)
    small = LEACE(mean=one, left=left, right=right)
    with pytest.raises(UserError, match="width 3"):
        small.condition(model, (), cond, None)
    parts = {n: {"other": v["hidden/0/2"]} for n, v in
             (("mean", one), ("left", left), ("right", right))}  # fmt: skip
    with pytest.raises(UserError, match="another model"):
        replace(small, **parts).condition(model, (), cond, None)
