from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.erasers import safree as erasers
from excise.errors import Unsupported
from excise.hooks.reattention import damped
from excise.hooks.safree import SAFREE
from excise.models.load import of_pipeline
from excise.rng import generator, noise
from excise.types import Concept, Step

PLAIN = SAFREE(phrases=("cat", "dog"))
GUARD = replace(PLAIN, reattention=(0.9, 0.2))
CHANGED = "a photo of a cat"


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


def wave(cycles: int, size: int = 8) -> Tensor:
    angle = 2 * torch.pi * cycles * torch.arange(size) / size
    return angle.cos()[None, None, None].expand(1, 1, size, size)


def test_low_frequencies_that_are_more_are_scaled_and_nothing_else() -> None:
    low, high = wave(1), wave(3)
    own, other = 2 * low + 3 * high + 5, low + high + 6
    # The wave of one cycle is more than the other's, the mean less, and three cycles are not low.
    torch.testing.assert_close(damped(own, other, 0.2), 0.2 * 2 * low + 3 * high + 5)
    torch.testing.assert_close(damped(own, other, 1.0), own)
    torch.testing.assert_close(damped(own, own, 0.2), own)
    torch.testing.assert_close(damped(own * (1 + 1e-6), own, 0.2), own)  # rounding is no reason
    torch.testing.assert_close(damped(own, 0 * own, 0.2), 0.2 * (2 * low + 5) + 3 * high)


def test_features_stay_real_and_lose_energy() -> None:
    own, other = (torch.randn(2, 3, 5, 8, generator=generator(n)) for n in ("own", "other"))
    new = damped(own, other, 0.5)
    assert not torch.equal(new, own)
    assert new.square().sum() < own.square().sum()
    spectrum = torch.fft.fft2(new)
    assert torch.fft.ifft2(spectrum).imag.abs().max() < 1e-6
    kept = torch.fft.fft2(own)[..., 2, 3]
    torch.testing.assert_close(spectrum[..., 2, 3], kept)


@torch.no_grad()
def drawn(model: Any, hook: SAFREE, *texts: str, index: int = 0, guidance: float = 3.0) -> Tensor:
    with model.hooked([hook]):
        cond, null = model.conditions(texts)
        x = noise(range(len(texts)), model.latent_shape)
        step = Step(u=0.5, index=index, guidance=guidance)
        out: Tensor = model.denoise(x, step, cond, null)[0]
        return out


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_it_acts_on_changed_prompts_while_they_are_changed(model: Any) -> None:
    texts = (CHANGED, "", CHANGED)
    plain, guarded = drawn(model, PLAIN, *texts), drawn(model, GUARD, *texts)
    assert not close(guarded[0], plain[0])
    assert close(guarded[1], plain[1])  # nothing was projected there
    assert torch.equal(drawn(model, GUARD, *texts, index=10), drawn(model, PLAIN, *texts, index=10))
    assert not close(drawn(model, GUARD, CHANGED, guidance=1.0),
                     drawn(model, PLAIN, CHANGED, guidance=1.0))  # fmt: skip


def test_factors_of_one_change_nothing(model: Any) -> None:
    ones = replace(PLAIN, reattention=(1.0, 1.0))
    assert close(drawn(model, ones, CHANGED), drawn(model, PLAIN, CHANGED))


def test_rows_are_independent(model: Any) -> None:
    both = drawn(model, GUARD, CHANGED, "a dog")
    assert close(both[[0]], drawn(model, GUARD, CHANGED))


def test_it_costs_one_evaluation_a_row_more(model: Any) -> None:
    costs = []
    for index in (0, 10):
        before = model.costs
        drawn(model, GUARD, CHANGED, index=index)
        costs.append((model.costs - before).evaluations)
    assert costs == [3, 2]


def test_a_transformer_is_refused() -> None:
    sd3 = of_pipeline(tiny.sd3(), "sd3")
    with pytest.raises(Unsupported, match="U-Net"):
        erasers.SAFREE(reattention=True).run(sd3, Concept("cat"))
    (guard,) = (
        erasers.SAFREE(reattention=True, negative=False)
        .run(of_pipeline(tiny.stable_diffusion(), "sd1"), Concept("cat"))
        .hooks
    )
    assert isinstance(guard, SAFREE)
    assert guard.reattention == (0.9, 0.2)
