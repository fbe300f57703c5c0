from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from tests.contracts.test_erasers import snapshot

from excise.attacks.changing import Point
from excise.attacks.durability import Durability, quantised
from excise.edit import Edit
from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.rng import generator
from excise.types import Concept, Prompt

CAT = Concept("cat", neighbours=("dog",))
QUICK = Durability(schedulers=("euler", "no such"), stacked=2, pictures=2, batch=2, rank=1)


def fresh(family: str = "sd1") -> Any:
    return of_pipeline(tiny.FAMILIES[family](), "tiny", {"steps": 2, "guidance": 2.0})


@pytest.fixture(scope="module")
def model() -> Any:
    return fresh()


@pytest.fixture(scope="module")
def base() -> Any:
    return fresh()


def points(model: Any, attack: Durability = QUICK, **options: Any) -> dict[str, Point]:
    return {point.label: point for point in attack.points(model, (CAT,), **options)}


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {n: w.detach().clone() for n, w in model.parameters("denoiser").items()}


def with_edit(model: Any, point: Point) -> dict[str, torch.Tensor]:
    assert isinstance(point.edit, Edit)
    with point.edit.applied(model):
        return weights(model)


def test_the_things_that_are_done(model: Any, base: Any) -> None:
    before = snapshot(model), snapshot(base)
    found = points(model, base=base)
    assert (snapshot(model), snapshot(base)) == before
    assert list(found) == [
        "as handed over", "scheduler euler", "weights in float16", "weights in int8",
        "a LoRA for something else",
    ]  # fmt: skip
    assert list(points(model))[-1] == "weights in int8"
    first, other = (found[label].request(Prompt("a cat")) for label in list(found)[:2])
    assert (first.scheduler, first.edit, other.scheduler) == (None, None, "euler")
    assert not torch.equal(model.generate(first).latents, model.generate(other).latents)


def test_half_precision_is_every_weight_rounded_exactly(model: Any) -> None:
    plain, found = weights(model), with_edit(model, points(model)["weights in float16"])
    assert plain.keys() == found.keys()
    assert all(torch.equal(found[n], plain[n].half().float()) for n in plain)
    assert any(not torch.equal(found[n], plain[n]) for n in plain)


def test_eight_bits_are_an_independent_quantisation_s(model: Any) -> None:
    plain, found = weights(model), with_edit(model, points(model)["weights in int8"])
    for name, weight in plain.items():
        if weight.dim() == 1:
            assert torch.equal(found[name], weight)
            continue
        for row, own in zip(weight.numpy(), found[name].numpy(), strict=True):
            scale = np.abs(row).max() / np.float32(127)
            codes = np.clip(np.rint(row / scale), -127, 127).astype(np.int8)
            np.testing.assert_array_equal(own, codes.astype(np.float32) * scale)


def test_a_quantised_weight() -> None:
    weight = torch.randn(6, 3, 2, 2, generator=generator("weight"))
    weight[0] = 0
    found = quantised(weight)
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert (found - weight).abs().le(step / 2 * (1 + 1e-5)).all()
    assert torch.equal(found[0], weight[0])
    assert all(len(row.unique()) <= 255 for row in found)
    torch.testing.assert_close(quantised(found), found)  # what has 8 bits keeps them


def test_what_is_rounded_is_the_edited_weight(model: Any) -> None:
    name = "unet.conv_out.weight"
    delta = {name: 1e-3 * torch.randn(model.parameters(name)[name].shape,
                                      generator=generator("edit"))}  # fmt: skip
    with model.swapped(delta):
        edited = model.parameters(name)[name].detach().clone()
        assert torch.equal(with_edit(model, points(model)["weights in int8"])[name],
                           quantised(edited))  # fmt: skip


def test_the_lora_is_of_the_unedited_model(model: Any, base: Any) -> None:
    attack = replace(QUICK, schedulers=(), precisions=())
    label = "a LoRA for something else"
    plain = points(model, attack, base=base)[label].edit
    with model.swapped({"unet.conv_out.bias": torch.ones(4)}):
        point = points(model, attack, base=base)[label]
        assert isinstance(point.edit, Edit)
        assert point.edit == plain
        model.generate(point.request(Prompt("a cat")))  # and it fits the edited one
        assert label not in points(model, attack, base=model)
    assert point.cost == {"pictures": 2, "steps": 2}


def test_flow_matching_has_its_own_schedulers() -> None:
    found = points(fresh("sd3"), replace(QUICK, schedulers=("ddim", "euler"), stacked=0))
    assert [label for label in found if "scheduler" in label] == ["scheduler euler"]


def test_settings() -> None:
    with pytest.raises(BadSetting, match="precisions"):
        Durability(precisions=("int4",))  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="stacked"):
        Durability(stacked=-1)
