from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from tests import tiny
from tests.trained import world

from excise.errors import BadSetting, UserError
from excise.hooks.negative_prompt import NegativePrompt
from excise.hooks.safree import SAFREE
from excise.models.load import of_pipeline
from excise.models.process import Discrete, Flow, Prediction, Process
from excise.primitives.bands import banded
from excise.primitives.denoising import (
    Bank,
    concept_loss,
    guidance_for,
    level_weights,
    losses,
    mapped,
    prediction,
)
from excise.rng import generator
from excise.types import Hook, State, Step, TextToImage

U = torch.tensor([0.02, 0.3, 0.6, 0.95])


def discrete(prediction: Prediction) -> Process:
    return Discrete(prediction, torch.linspace(0.9999, 0.005, 1000, dtype=torch.float64))


def test_a_bank_covers_levels_and_pictures_evenly() -> None:
    bank = Bank.of(torch.zeros(8, 4, 2, 2), 32, between=(0.5, 1.0))
    assert torch.allclose(bank.u.sort().values.diff(), torch.tensor(0.5 / 32), atol=1e-6)
    assert 0.5 < bank.u.min() < bank.u.max() < 1
    assert bank.picture.bincount().tolist() == [4] * 8
    assert bank.eps.shape == (32, 4, 2, 2)
    assert abs(float(torch.corrcoef(torch.stack([bank.picture.float(), bank.u]))[0, 1])) < 0.5


def test_a_bank_is_its_seed_s() -> None:
    latents = torch.zeros(3, 4, 2, 2)
    assert Bank.of(latents, 8).digest == Bank.of(latents, 8).digest
    assert Bank.of(latents, 8).digest != Bank.of(latents, 8, seed=1).digest
    with pytest.raises(UserError, match="bank"):
        Bank.of(latents, 0)


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (discrete("epsilon"), lambda snr, u: min(snr, 5) / snr),
        (discrete("sample"), lambda snr, u: min(snr, 5)),
        (discrete("v_prediction"), lambda snr, u: min(snr, 5) / (snr + 1)),
        (Flow("flow", 1000.0), lambda snr, u: min(snr, 5) * u * u),
    ],
)  # fmt: skip
def test_min_snr_weighs_the_error_in_x0_whatever_is_predicted(process, expected) -> None:  # type: ignore[no-untyped-def]
    model = cast(TextToImage, process)  # a process is the part of the seam that weights need
    found = level_weights(model, U, "min_snr")
    a, b = process.coefficients(U)
    for weight, alpha, sigma, u in zip(
        found.tolist(), a.tolist(), b.tolist(), U.tolist(), strict=True
    ):
        assert weight == pytest.approx(expected((alpha / sigma) ** 2, u), rel=1e-4)
    assert level_weights(model, U, "uniform").tolist() == [1.0] * 4


def test_the_loss_on_a_bank_is_that_of_each_entry() -> None:
    w = world()
    latents = w.latents["cat"]
    bank = Bank.of(latents, 6)
    cond = w.model.encode(["a cat", "a dog"]).detach()
    found = concept_loss(w.model, latents, cond, bank, batch=5)  # a batch that splits rows
    assert found.shape == (2, 6)
    for row in range(2):
        alone = losses(w.model, latents[bank.picture], bank.eps, bank.u, cond[[row] * 6])
        assert torch.allclose(found[row], alone.detach(), rtol=1e-4)
    assert found[0].mean() < 0.5 * found[1].mean()  # a cat is better explained by its word


def test_the_loss_reads_the_band_of_each_level() -> None:
    w = world()
    bank = Bank.of(w.latents["cat"], 8)
    cat, dog = w.model.encode(["a cat"]).detach(), w.model.encode(["a dog"]).detach()
    both = banded(cat, {"hidden": torch.stack([cat.hidden, dog.hidden], dim=1)})
    found = concept_loss(w.model, w.latents["cat"], both, bank)[0]
    as_cat = concept_loss(w.model, w.latents["cat"], cat, bank)[0]
    as_dog = concept_loss(w.model, w.latents["cat"], dog, bank)[0]
    assert torch.allclose(found, torch.where(bank.u < 0.5, as_cat, as_dog), rtol=1e-4)
    assert not math.isclose(float(as_cat.sum()), float(as_dog.sum()), rel_tol=0.1)


# Through hooks.


class Idle(Hook):
    """Stands around guided steps and does nothing."""

    def prediction(self, model, denoise, x, step, cond, null, state):  # type: ignore[no-untyped-def]
        out, inner = denoise(x, step, cond, null, state.inner)
        return out, State(inner=inner)


class Inside(Hook):
    """Changes a submodule, as weights would."""

    modules = ("unet.mid_block",)


@pytest.fixture(scope="module")
def guided() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 5, "guidance": 3.0})


def entry(model: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two noisy latents and a level for both."""
    own = generator("entry")
    x0, eps = (torch.randn(2, *model.latent_shape, generator=own) for _ in range(2))
    return x0, eps, torch.full((2,), 0.6)


def test_a_hook_that_does_nothing_changes_nothing_and_without_hooks_nothing_is_added(
    guided: Any,
) -> None:
    x0, eps, u = entry(guided)
    cond = guided.encode(["a cat", "a dog"])
    guided.null()
    before = guided.costs
    plain = losses(guided, x0, eps, u, cond)
    assert (guided.costs - before).evaluations == 2
    with guided.hooked([Idle()]):
        own, null = mapped(guided, cond)
        idle = losses(guided, x0, eps, u, own, null)
    torch.testing.assert_close(idle, plain, rtol=1e-4, atol=1e-6)


def test_a_guided_step_is_told_as_the_prediction_that_guidance_would_have_needed(
    guided: Any,
) -> None:
    """With n in the place of e, n + s (c - n) = e + s (p - e) has p = c - (s - 1) / s (n - e)."""
    x0, eps, u = entry(guided)
    x, cond = guided.noise(x0, eps, u), guided.encode(["a cat", "a photo"])
    with torch.no_grad():
        c, e = guided.predict(x, u, cond), guided.predict(x, u, guided.null(2))
        n = guided.predict(x, u, guided.encode("a dog").expand(2))
        for place in ("condition", "prediction"):
            with guided.hooked([NegativePrompt(text="a dog", place=place)]):  # type: ignore[arg-type]
                own, null = mapped(guided, cond)
                found = prediction(guided, x, u, own, null)
                at_one = prediction(guided, x, u, own, null, guidance=1.0)
            torch.testing.assert_close(found, c - 2 / 3 * (n - e), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(at_one, c)  # there it does not act


def test_the_guidance_of_a_match_is_the_model_s_own_where_hooks_act_on_guided_steps(
    guided: Any,
) -> None:
    assert guidance_for(guided, None) == 1
    for hook, expected in (
        (Inside(), 1),
        (Idle(), 3),
        (SAFREE(phrases=("cat",)), 3),
        (NegativePrompt(text="a dog"), 3),
    ):
        with guided.hooked([hook]):
            assert guidance_for(guided, None) == expected
            assert guidance_for(guided, 2.0) == 2
    with pytest.raises(BadSetting, match="guidance"):
        guidance_for(guided, 0.0)


def test_hooks_are_told_the_steps_of_the_model_s_own_drawing(guided: Any) -> None:
    seen: list[Step] = []

    class Notes(Idle):
        def prediction(self, model, denoise, x, step, cond, null, state):  # type: ignore[no-untyped-def]
            seen.append(step)
            return super().prediction(model, denoise, x, step, cond, null, state)

    x0, eps, _ = entry(guided)
    with guided.hooked([Notes()]), torch.no_grad():
        cond, null = mapped(guided, guided.encode(["a cat", "a dog"]))
        losses(guided, x0, eps, torch.tensor([0.99, 0.01]), cond, null)
    assert [(step.index, step.total, step.guidance) for step in seen] == [(4, 5, 3.0), (0, 5, 3.0)]
