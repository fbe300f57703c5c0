from __future__ import annotations

import torch
from tests.trained import world
from torch import Tensor

from excise.primitives.bands import BANDS, at_levels, banded, is_banded
from excise.types import Condition, Request


def condition(n: int = 2, bands: int = 4) -> tuple[Condition, Tensor]:
    values = torch.randn(n, bands, 3, 5)
    return banded(Condition(tensors={"hidden": torch.zeros(n, 3, 5)}), {"hidden": values}), values


def test_a_level_picks_its_band() -> None:
    cond, values = condition()
    u = torch.tensor([0.0, 0.25])
    picked = at_levels(cond, u)
    assert not is_banded(picked)
    assert torch.equal(picked.hidden, torch.stack([values[0, 0], values[1, 1]]))
    last = at_levels(cond, torch.tensor([1.0, 0.999]))
    assert torch.equal(last.hidden, values[:, 3])


def test_rows_are_picked_with_their_levels() -> None:
    cond, values = condition()
    picked = at_levels(cond, torch.tensor([0.6, 0.1, 0.9]), torch.tensor([1, 1, 0]))
    assert torch.equal(picked.hidden, torch.stack([values[1, 2], values[1, 0], values[0, 3]]))


def test_a_condition_without_bands_is_itself() -> None:
    cond = Condition(tensors={"hidden": torch.randn(2, 3, 5)})
    assert at_levels(cond, torch.tensor([0.1, 0.2])) is cond


def test_equal_bands_draw_what_the_condition_draws() -> None:
    model = world().model
    cat, dog = model.encode(["a cat"]).detach(), model.encode(["a dog"]).detach()
    plain = model.generate(Request(condition=cat, seeds=(0, 1), steps=4, guidance=2.0))
    same = banded(cat, {"hidden": torch.stack([cat.hidden] * 3, dim=1)})
    drawn = model.generate(Request(condition=same, seeds=(0, 1), steps=4, guidance=2.0, edit=BANDS))
    assert plain.latents is not None
    assert drawn.latents is not None
    assert torch.equal(plain.latents, drawn.latents)
    mixed = banded(cat, {"hidden": torch.stack([dog.hidden, cat.hidden], dim=1)})
    other = model.generate(
        Request(condition=mixed, seeds=(0, 1), steps=4, guidance=2.0, edit=BANDS)
    )
    assert not torch.equal(plain.pictures, other.pictures)
    assert model.hooks == ()


def test_a_banded_request_survives_json() -> None:
    cond, values = condition(1)
    tensors: dict[str, Tensor] = {}
    data = Request(condition=cond, edit=BANDS).to_json(tensors)
    again = Request.from_json(data, tensors, {BANDS.digest: BANDS})
    assert again.condition is not None
    assert torch.equal(at_levels(again.condition, torch.tensor([0.3])).hidden, values[:, 1])
    assert again.edit == BANDS
