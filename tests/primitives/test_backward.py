from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.primitives.backward import unreached
from excise.primitives.finetune import Draw, Loss, Optimiser, Term, finetune
from excise.primitives.losses import mean, one_caption, picture_errors
from excise.primitives.saliency import gradient_sums
from excise.rng import noise

OUT = "unet.conv_out.bias"
SAID = "depends on, got 'text_encoder', on none of which it does.*selector=denoiser"


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def fixed(model: Any) -> Loss:
    """Of pictures under a caption that was encoded beforehand."""
    caption = one_caption(model.encode("a cat"))
    return mean(picture_errors(model, noise([0, 1], model.latent_shape), caption, batch=2))


def tuned(model: Any, selector: Any, loss: Loss, *more: Loss) -> Any:
    terms = {str(i): Term(loss=one) for i, one in enumerate((loss, *more))}
    return finetune(model, selector, terms, steps=2, optimiser=Optimiser(lr=1e-3))


@pytest.mark.parametrize("part", ["text_encoder", "vae"])
def test_training_what_its_loss_does_not_depend_on_is_refused(model: Any, part: str) -> None:
    before = model.fingerprint()
    with pytest.raises(BadSetting, match=SAID.replace("text_encoder", part)):
        tuned(model, part, fixed(model))
    assert model.fingerprint() == before


def test_so_are_weights_that_only_something_else_in_the_loss_moves_beside(model: Any) -> None:
    beside = torch.ones(1, requires_grad=True)
    plain = fixed(model)

    def loss(draw: Draw) -> Tensor:
        return (beside * plain(draw)).sum()

    with pytest.raises(BadSetting, match=SAID):
        tuned(model, "text_encoder", loss)


def test_some_weights_that_are_reached_are_enough(model: Any) -> None:
    found = tuned(model, ("text_encoder", OUT), fixed(model))
    moved = {name for name, delta in found.deltas.items() if delta.any()}
    assert moved == {OUT}


def test_a_loss_that_is_encoded_afresh_trains_the_encoder(model: Any) -> None:
    x = noise([0], model.latent_shape)

    def loss(draw: Draw) -> Tensor:
        return model.predict(x, 0.5, model.encode("a cat")).square().mean()

    assert any(delta.any() for delta in tuned(model, "text_encoder", loss).deltas.values())


def test_saliency_of_what_its_losses_do_not_depend_on_is_refused(model: Any) -> None:
    x, cond = noise([0], model.latent_shape), model.encode("a cat").detach()

    def losses(rows: Tensor) -> Tensor:
        return model.predict(x, 0.5, cond).square().mean(dim=(1, 2, 3))

    with pytest.raises(BadSetting, match=SAID):
        gradient_sums(model, "text_encoder", losses, 1, batch=1)


def test_a_long_selector_is_cut_short() -> None:
    assert "'a', 'b', 'c' and 2 more, on none" in str(unreached(tuple("abcde"), "the loss"))
