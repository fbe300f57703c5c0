from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.errors import Unsupported, UserError
from excise.models.load import of_pipeline
from excise.rng import generator
from excise.types import Request, merged

SEEDS = (3, 5)


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), "tiny", {"steps": 4, "guidance": 1.0})


def stirred(eta: float | None, scale: float = 1.0, **changes: Any) -> Request:
    given = {"prompts": "a cat", "seeds": SEEDS, "scheduler": "ddim", "steps": 4}
    return Request(eta=eta, eta_scale=scale, **(given | changes))


def numbers(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    draw = generator("test")
    return torch.randn(shape, generator=draw), torch.randn(shape, generator=draw)


@pytest.mark.parametrize("index", [0, 2, 3])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_up_to_one_it_is_ddim_s_own_step(model: Any, eta: float, index: int) -> None:
    ours = model.schedule(stirred(eta), SEEDS)
    theirs = model.schedule(stirred(None), SEEDS)._scheduler
    x, out = numbers((2, 4, 8, 8))
    z = torch.stack([torch.randn(4, 8, 8, generator=generator("noise on the way", s))
                     for s in SEEDS])  # fmt: skip
    expected = theirs.step(
        out, theirs.timesteps[index], x, eta=eta, variance_noise=z, return_dict=False
    )[0]
    torch.testing.assert_close(ours.advance(out, x, index), expected, atol=1e-5, rtol=1e-5)


def test_without_noise_it_draws_what_ddim_draws(model: Any) -> None:
    plain, none = (model.generate(stirred(eta)).latents for eta in (None, 0.0))
    torch.testing.assert_close(plain, none, atol=1e-5, rtol=1e-5)


def test_beyond_one_the_noise_has_the_size_that_was_asked_for(model: Any) -> None:
    """Two noises on the same prediction: what they differ by is sigma times scale, exactly."""
    own = model.schedule(stirred(None), SEEDS)._scheduler
    index, eta, scale = 3, 1.85, 1.04
    t = int(own.timesteps[index])
    a, b = float(own.alphas_cumprod[t]), float(own.final_alpha_cumprod)
    variance = float(own._get_variance(t, t - 250))
    assert eta**2 * variance > 1 - b  # diffusers' own root would be of a negative number
    x, out = numbers((1, 4, 8, 8))
    one, other = (model.schedule(stirred(eta, scale), (s,)).advance(out, x, index) for s in SEEDS)
    z, w = (torch.randn(1, 4, 8, 8, generator=generator("noise on the way", s)) for s in SEEDS)
    torch.testing.assert_close(
        one - other, scale * eta * variance**0.5 * (z - w), atol=1e-5, rtol=1e-4
    )
    still = model.schedule(stirred(eta, 0.0), (3,)).advance(out, x, index)
    u = model.schedule(stirred(None), SEEDS).levels[index]
    x0, eps = model.to_x0(x, out, u), model.to_eps(x, out, u)
    root = abs(1 - b - eta**2 * variance) ** 0.5
    torch.testing.assert_close(still, b**0.5 * x0 + root * eps, atol=1e-5, rtol=1e-4)
    assert a < b


def test_a_picture_s_noise_is_its_own_and_pictures_are_finite(model: Any) -> None:
    both = model.generate(stirred(1.85, 1.04)).latents
    alone = model.generate(stirred(1.85, 1.04, seeds=(5,))).latents
    assert both.isfinite().all()
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(both, model.generate(stirred(1.0)).latents)


def test_it_needs_ddim(model: Any) -> None:
    for name in ("euler", "pndm", "dpm++"):
        with pytest.raises(Unsupported, match="ddim"):
            model.generate(stirred(1.0, scheduler=name))
    with pytest.raises(UserError, match="eta"):
        stirred(-1.0)
    with pytest.raises(UserError, match="eta"):
        stirred(1.0, float("nan"))


def test_it_is_kept_and_not_merged_with_another() -> None:
    one = stirred(1.5, 1.02)
    again = Request.from_json(one.to_json())
    assert (again.eta, again.eta_scale) == (1.5, 1.02)
    assert "eta" not in stirred(None).to_json()
    assert len(list(merged([one, stirred(1.5, 1.03), stirred(1.4, 1.02), one]))) == 3
