from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.primitives.finetune import Draw
from excise.primitives.losses import (
    denoising_loss,
    distill_loss,
    draw_levels,
    mean,
    one_caption,
    own_captions,
    picture_errors,
)
from excise.rng import generator, noise


@pytest.fixture(scope="module", params=["sd1", "v", "sd3"])
def model(request: pytest.FixtureRequest) -> Any:
    if request.param == "v":
        return of_pipeline(tiny.stable_diffusion("v_prediction"), "v")
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


def draw(step: int = 0) -> Draw:
    return Draw(seed=3, term="concept", step=step)


@torch.no_grad()
def test_min_snr_weighs_the_error_in_clean_latents_by_the_bounded_snr(model: Any) -> None:
    x0, eps = noise([1, 2, 3], model.latent_shape), noise([4, 5, 6], model.latent_shape)
    u, cond = torch.tensor([0.1, 0.5, 0.9]), model.encode(["a cat", "", "a dog"])
    found = denoising_loss(model, x0, cond, eps, u, weighting="min_snr", gamma=5.0)
    x = model.noise(x0, eps, u)
    clean = model.to_x0(x, model.predict(x, u, cond), u)
    one, zero = torch.ones(3, 1, 1, 1), torch.zeros(3, 1, 1, 1)
    snr = (model.noise(one, zero, u) / model.noise(zero, one, u)).square().flatten()
    assert torch.allclose(
        found, (clean - x0).square().mean((1, 2, 3)) * snr.clamp(max=5), rtol=1e-3
    )


@torch.no_grad()
def test_distilling_a_prediction_onto_itself_costs_nothing(model: Any) -> None:
    x, u, cond = (
        noise([1, 2], model.latent_shape),
        torch.tensor([0.3, 0.8]),
        model.encode(["", "x"]),
    )
    own = model.predict(x, u, cond)
    assert torch.equal(distill_loss(model, x, u, cond, own), torch.zeros(2))
    shifted = own + torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    assert torch.allclose(distill_loss(model, x, u, cond, shifted), torch.tensor([1.0, 4.0]))


def test_levels_are_even_in_their_window(model: Any) -> None:
    u = draw_levels(model, 50, generator(1), (0.2, 0.6))
    assert u.dtype == torch.float32
    assert 0.2 <= u.min() < 0.21
    assert 0.59 < u.max() <= 0.6
    assert u.sort().values.diff().max() < 0.0081
    with pytest.raises(BadSetting, match="window"):
        draw_levels(model, 2, generator(1), (0.6, 0.6))


@torch.no_grad()
def test_a_draw_decides_the_batch(model: Any) -> None:
    latents, cond = noise(range(4), model.latent_shape), model.encode("a cat")
    errors = picture_errors(model, latents, one_caption(cond), batch=3)
    assert errors(draw()).shape == (3,)
    assert torch.equal(errors(draw()), errors(draw()))
    assert not torch.equal(errors(draw()), errors(draw(1)))


@torch.no_grad()
def test_captions_go_with_their_pictures(model: Any) -> None:
    texts = ["a cat", "a dog", "a tree", "red"]
    latents, cond = noise(range(4), model.latent_shape), model.encode(texts)
    numbers = torch.Generator()
    rows = torch.tensor([3, 0])
    assert torch.equal(own_captions(cond)(rows, numbers).hidden, cond.hidden[rows])
    assert torch.equal(one_caption(cond[[1]])(rows, numbers).hidden, cond.hidden[[1, 1]])
    own = picture_errors(model, latents, own_captions(cond), batch=4)(draw())
    one = picture_errors(model, latents, one_caption(cond[[0]]), batch=4)(draw())
    cats = draw().rows(4, 4) == 0
    assert torch.allclose(own[cats], one[cats], rtol=1e-4)
    assert not torch.allclose(own[~cats], one[~cats], rtol=1e-4)


def test_a_ceiling_stops_the_pull() -> None:
    values = torch.tensor([1.0, 5.0], requires_grad=True)
    loss = mean(lambda d: values * 1, sign=-1.0, ceiling=2.0)(draw())
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == -1.5
    assert values.grad is not None
    assert values.grad.tolist() == [-0.5, 0.0]
