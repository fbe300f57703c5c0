from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.attacks.swap import Encoders, Swap
from excise.errors import Unsupported, UserError
from excise.hooks.adapter import Adapter
from excise.hooks.negative_prompt import NegativePrompt
from excise.models.load import of_pipeline
from excise.rng import generator
from excise.types import Concept, Prompt, Request

CAT = Concept("cat")


def fresh(family: str = "sd1") -> Any:
    return of_pipeline(tiny.FAMILIES[family](), "tiny", {"steps": 2, "guidance": 4.0})


@pytest.fixture(scope="module")
def base() -> Any:
    return fresh()


@pytest.fixture(scope="module")
def model() -> Any:
    return fresh()


def delta(model: Any, name: str, size: float = 0.3) -> dict[str, torch.Tensor]:
    weight = model.parameters(name)[name]
    return {name: size * torch.randn(weight.shape, generator=generator(name))}


def swapped(model: Any, base: Any) -> torch.Tensor:
    ((request,),) = Swap().search(model, (CAT,), Prompt.of(["a cat"]), base=base)
    found: torch.Tensor = model.generate(request).latents
    return found


WEIGHTS = {
    "sd1": ("text_encoder.text_model.encoder.layers.0.mlp.fc1.weight", "unet.conv_out.weight"),
    "sdxl": ("text_encoder_2.text_projection.weight", "unet.conv_out.weight"),
    "sd3": ("text_encoder_3.encoder.block.0.layer.0.SelfAttention.q.weight",
            "transformer.proj_out.weight"),
}  # fmt: skip


@pytest.mark.parametrize("family", sorted(WEIGHTS))
def test_an_edit_of_the_text_encoder_is_undone_and_no_other(family: str) -> None:
    base, model = fresh(family), fresh(family)
    plain = base.generate(["a cat"]).latents
    text, image = WEIGHTS[family]
    with model.swapped(delta(model, text)):
        edited = model.generate(["a cat"]).latents
        assert not torch.equal(edited, plain)
        assert torch.equal(swapped(model, base), plain)
    with model.swapped(delta(model, image)):
        assert torch.equal(swapped(model, base), model.generate(["a cat"]).latents)
    assert torch.equal(model.generate(["a cat"]).latents, plain)


def test_adapters_on_the_encoder_go_and_guards_behind_it_stay(base: Any, model: Any) -> None:
    name = "text_encoder.text_model.encoder.layers.1.mlp.fc2"
    draw = generator("adapter")
    adapter = Adapter(
        down={name: torch.randn(2, 64, generator=draw)},
        up={name: torch.randn(32, 2, generator=draw)},
    )
    guard = NegativePrompt(text="a dog")
    with base.hooked((guard,)):
        guarded = base.generate(["a cat"]).latents
    assert not torch.equal(guarded, base.generate(["a cat"]).latents)
    with model.hooked((adapter, guard)):
        assert not torch.equal(model.generate(["a cat"]).latents, guarded)
        assert torch.equal(swapped(model, base), guarded)


def test_it_is_kept_by_digest(base: Any, model: Any) -> None:
    ((request,),) = Swap().search(model, (CAT,), Prompt.of(["a cat"]), base=base)
    back = request.edit
    assert isinstance(back, Encoders)
    assert back.digest == Encoders({"text_encoder": base.pipeline.text_encoder}).digest
    again = Request.from_json(request.to_json(), edits={back.digest: back})
    assert again.edit is back
    with model.swapped(delta(model, WEIGHTS["sd1"][0])):
        assert Encoders({"text_encoder": model.pipeline.text_encoder}).digest != back.digest


def test_it_needs_an_unedited_model_of_its_own(base: Any, model: Any) -> None:
    prompts = Prompt.of(["a cat"])
    with pytest.raises(UserError, match="unedited"):
        next(Swap().search(model, (CAT,), prompts))
    with model.swapped(delta(model, WEIGHTS["sd1"][0])), pytest.raises(UserError, match="itself"):
        next(Swap().search(model, (CAT,), prompts, base=model))
    with pytest.raises(Unsupported, match="encoders"):
        next(Swap().search(model, (CAT,), prompts, base=fresh("sdxl")))
