from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.erasers.negative_prompt import NegativePrompt
from excise.errors import BadSetting, Unsupported
from excise.models.load import of_pipeline
from excise.progress import Silent
from excise.rng import noise
from excise.types import Concept, Request

CAT, DOG = Concept("cat", synonyms=("x",)), Concept("dog")


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def test_it_is_the_plain_negative_prompt_of_diffusers(model: Any) -> None:
    latents = noise([5, 6], model.latent_shape)
    prompts = ["a tree", "a red picture"]
    theirs = model.pipeline(
        prompts,
        negative_prompt=["cat, x, dog"] * 2,
        num_inference_steps=4,
        guidance_scale=7.5,
        latents=latents,
        output_type="latent",
    ).images
    request = Request(
        prompts=tuple(prompts), seeds=(5, 6), steps=4, guidance=7.5, scheduler="default"
    )
    plain = model.generate(request).latents
    with NegativePrompt().run(model, (CAT, DOG)).applied(model):
        ours = model.generate(request).latents
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert (plain - theirs).abs().max() > 1e-2


class Noting(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_names_that_the_encoder_cuts_off_are_noted(model: Any) -> None:
    shown = Noting()
    NegativePrompt().run(model, CAT, progress=shown)
    assert shown.notes == []
    NegativePrompt(text=" ".join(["cat"] * 20)).run(model, CAT, progress=shown)
    assert len(shown.notes) == 1
    assert "reads 14 of the 20 words" in shown.notes[0]


def test_what_cannot_be_is_refused(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSetting, match="place=prediction"):
        NegativePrompt(weight=2.0)
    with pytest.raises(BadSetting, match="weight"):
        NegativePrompt(place="prediction", weight=0.0)
    assert NegativePrompt(place="prediction", weight=2.0).run(model, CAT).hooks
    monkeypatch.setattr(type(model), "null", lambda self, n=1: None)
    with pytest.raises(Unsupported, match="guided away from"):
        NegativePrompt().run(model, CAT)
