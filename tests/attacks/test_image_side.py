from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.contracts.test_erasers import snapshot
from tests.trained import World, world

from excise.attacks.image_side import ImageSide
from excise.errors import BadSetting, NumericalError
from excise.hooks.negative_prompt import NegativePrompt
from excise.types import Concept, Prompt

QUICK = ImageSide(restarts=3, level=0.4, steps=25, samples=2, lr=0.1, share="all")
PROMPTS = Prompt.of(["a dog", "a photo of a dog"])


@pytest.fixture(scope="module")
def w() -> World:
    return world()


def test_its_loss_goes_down_and_the_model_stays(w: World) -> None:
    before = snapshot(w.model)
    found = QUICK.optimised(w.model, w.latents["cat"], PROMPTS)
    assert snapshot(w.model) == before
    assert found.curves.shape == (3, 25)
    early, late = found.curves[:, :4].mean(dim=1), found.curves[:, -4:].mean(dim=1)
    assert (late < 0.7 * early).all()


def test_what_it_finds_holds_on_noise_that_it_never_saw(w: World) -> None:
    """Drawn under the other thing's name, it is nearer to the concept than its beginning is."""
    goal = w.latents["cat"].mean(0)
    short, found = (
        list(replace(QUICK, steps=n).search(w.model, (cat(w),), PROMPTS[:1])) for n in (1, 25)
    )
    far = [
        torch.stack(
            [w.model.generate(r.on(8, 9)).latents - goal for (r,) in rounds]
        ).square().mean()
        for rounds in (short, found)
    ]  # fmt: skip
    assert far[1] < far[0]


def cat(w: World) -> Concept:
    with torch.no_grad():
        return Concept("cat", pictures=w.model.decode(w.latents["cat"]))


def test_restarts_do_not_touch_one_another(w: World) -> None:
    def search(restarts: int, batch: int) -> torch.Tensor:
        attack = replace(QUICK, restarts=restarts, batch=batch, steps=4)
        return attack.optimised(w.model, w.latents["cat"], PROMPTS).values["z"].detach()

    three, one, apart = search(3, 64), search(1, 64), search(3, 2)
    torch.testing.assert_close(three[:1], one, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(three, apart, atol=1e-4, rtol=1e-4)
    assert torch.equal(three, search(3, 64))


def test_it_looks_through_a_guard(w: World) -> None:
    attack = replace(QUICK, restarts=1, steps=3, guidance=3.0)
    plain = attack.optimised(w.model, w.latents["cat"], PROMPTS).values["z"]
    with w.model.hooked((NegativePrompt(text="a cat"),)):
        guarded = attack.optimised(w.model, w.latents["cat"], PROMPTS).values["z"]
    assert not torch.allclose(plain, guarded)


def test_settings(w: World) -> None:
    with pytest.raises(BadSetting, match="level"):
        ImageSide(level=1.0)
    with pytest.raises(NumericalError, match="lr"):
        replace(QUICK, lr=1e30).optimised(w.model, w.latents["cat"], PROMPTS)
