from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.erasers.sld import CONFIGURATIONS
from excise.errors import BadSetting, Unsupported
from excise.hooks.base import alone
from excise.hooks.negative_prompt import NegativePrompt
from excise.hooks.sld import SLD
from excise.models.load import of_pipeline
from excise.models.quiet import quietly
from excise.rng import noise
from excise.types import Request, State, Step

TEXT = "a cat"
STEP = Step(u=0.5, guidance=4.0)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


@pytest.fixture(scope="module")
def sd() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "sd1")


def diffusers_own(pipeline: Any, configuration: str, steps: int, latents: Tensor) -> Tensor:
    """The latents at the end of diffusers' StableDiffusionPipelineSafe."""
    with quietly():
        from diffusers import StableDiffusionPipelineSafe

        safe = StableDiffusionPipelineSafe(
            **{n: c for n, c in pipeline.components.items() if n != "image_encoder"},
            requires_safety_checker=False,
        )
    safe.set_progress_bar_config(disable=True)
    safe.safety_concept = TEXT
    values = CONFIGURATIONS[configuration]  # type: ignore[index]
    found: list[Tensor] = []
    with quietly():
        safe(
            ["a dog", "a red tree"],
            num_inference_steps=steps,
            guidance_scale=7.5,
            latents=latents,
            output_type="np",
            callback=lambda i, t, x: found.append(x),
            sld_guidance_scale=values["scale"],
            sld_warmup_steps=values["warmup"],
            sld_threshold=values["threshold"],
            sld_momentum_scale=values["momentum"],
            sld_mom_beta=values["decay"],
        )
    assert len(found) == steps
    return found[-1]


@pytest.mark.parametrize(
    ("configuration", "steps"), [("weak", 18), ("medium", 13), ("strong", 10), ("max", 4)]
)
def test_it_is_the_pipeline_of_diffusers(sd: Any, configuration: str, steps: int) -> None:
    """At equal latents, scheduler (DDIM), guidance 7.5, steps counted by index from 0."""
    request = Request(
        prompts=("a dog", "a red tree"), seeds=(3, 4), steps=steps, guidance=7.5,
        scheduler="default",
    )  # fmt: skip
    theirs = diffusers_own(sd.pipeline, configuration, steps, noise([3, 4], sd.latent_shape))
    plain = sd.generate(request).latents
    hook = SLD(text=TEXT, **CONFIGURATIONS[configuration])  # type: ignore[index]
    with sd.hooked([hook]):
        ours = sd.generate(request).latents
    effect = float((theirs - plain).abs().max())
    assert effect > 1e-3
    # s_S makes a rounding of the predictions up to 5000 times as large.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3 * effect)
    # One step more of warm-up is another picture, so that the test tells the conventions apart.
    with sd.hooked([replace(hook, warmup=hook.warmup + 1)]):
        assert (sd.generate(request).latents - theirs).abs().max() > 0.1 * effect


@torch.no_grad()
def drawn(model: Any, *hooks: Any, step: Step = STEP) -> Tensor:
    with model.hooked(hooks):
        cond, null = model.conditions(["a dog", "a tree"])
        out: Tensor = model.denoise(noise([0, 1], model.latent_shape), step, cond, null)[0]
        return out


def test_with_all_of_the_picture_and_no_momentum_it_is_the_term_of_a_negative_prompt(
    model: Any,
) -> None:
    """mu = 1 everywhere: s gamma = s (S - 0), of which the negative prompt has (s - 1) (n - 0)."""
    s = STEP.guidance
    full = SLD(text=TEXT, warmup=0, scale=1e12, threshold=1e6, momentum=0.0)
    term = NegativePrompt(text=TEXT, place="prediction", strength=s / (s - 1))
    torch.testing.assert_close(drawn(model, full), drawn(model, term), rtol=1e-4, atol=1e-4)


def test_nothing_acts_during_the_warm_up_or_without_guidance(model: Any) -> None:
    hook = SLD(text=TEXT, warmup=3)
    for step in (replace(STEP, index=2), alone(STEP)):
        close = torch.allclose(drawn(model, hook, step=step), drawn(model, step=step), atol=1e-5)
        assert close
    step = replace(STEP, index=3)
    assert not torch.allclose(drawn(model, hook, step=step), drawn(model, step=step), atol=1e-3)


def test_strengths_add_up_without_momentum(model: Any) -> None:
    whole = SLD(text=TEXT, warmup=0, momentum=0.0)
    half = whole.scaled(0.5)
    both = drawn(model, half, whole.scaled(0.5))
    torch.testing.assert_close(both, drawn(model, whole), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        drawn(model, whole, whole.scaled(-1)), drawn(model), rtol=1e-4, atol=1e-4
    )


def test_the_momentum_is_built_up_before_it_acts(model: Any) -> None:
    """Equations 7 and 8 over two steps, by hand."""
    hook = SLD(text=TEXT, warmup=1, scale=2.0, threshold=0.02, momentum=0.3, decay=0.4)
    x, s = noise([0], model.latent_shape), 4.0
    steps = [Step(u=0.6, guidance=s), Step(u=0.4, guidance=s, index=1, total=2)]
    with torch.no_grad():
        cond, null = model.conditions(["a dog"])
        away = model.encode(TEXT)
        nu = torch.zeros_like(x)
        for step in steps:
            one = alone(step)
            none, p, bad = (model.denoise(x, one, c, null)[0] for c in (null, cond, away))
            apart = model.to_eps(x, p, step.u) - model.to_eps(x, bad, step.u)
            mu = torch.minimum(apart.abs() * 2, torch.ones(())) * (apart < 0.02)
            gamma = mu * (bad - none) + 0.3 * nu
            nu = 0.4 * nu + 0.6 * gamma
        expected = none + s * (p - none - gamma)
        with model.hooked([hook]):
            _, state = model.denoise(x, steps[0], cond, null)
            found, _ = model.denoise(x, steps[1], cond, null, state)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (s * (gamma - mu * (bad - none))).abs().max() > 1e-3


def test_alone_it_costs_three_evaluations_a_row(sd: Any) -> None:
    before = sd.costs
    drawn(sd, SLD(text=TEXT))
    assert (sd.costs - before).evaluations == 2 * 3


def test_settings_out_of_range_are_refused() -> None:
    for settings in ({"warmup": -1}, {"scale": 0.0}, {"momentum": 1.5}, {"decay": 1.0}):
        with pytest.raises(BadSetting, match=next(iter(settings))):
            SLD(text=TEXT, **settings)  # type: ignore[arg-type]


def test_a_family_without_an_unconditional_is_told(sd: Any) -> None:
    cond, _ = sd.conditions(["a dog"])
    with pytest.raises(Unsupported, match="SLD"):
        SLD(text=TEXT).prediction(sd, sd.denoise, torch.zeros(1), STEP, cond, None, State())


def test_what_stands_inside_keeps_its_part_in_the_guidance(model: Any) -> None:
    """Other guards and composition terms are not lost when the safety guidance is taken off."""
    hook = SLD(text=TEXT, warmup=0)
    gamma = drawn(model, hook) - drawn(model)
    negative = NegativePrompt(text="a red picture", place="prediction")
    inside = drawn(model, negative)
    assert not torch.allclose(inside, drawn(model), atol=1e-3)
    torch.testing.assert_close(drawn(model, negative, hook) - inside, gamma, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        term = model.encode(["a photo"] * 2)
    step = replace(STEP, terms=((term, 0.7),))
    outside = drawn(model, step=step)
    torch.testing.assert_close(drawn(model, hook, step=step) - outside, gamma, rtol=1e-3, atol=1e-4)
