from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.edit import Edit, LowRank, Recipe
from excise.errors import BadSetting, ExciseError, UserError
from excise.hooks.adapter import Adapter
from excise.models.load import of_pipeline
from excise.rng import generator, noise
from excise.types import Hook, Step

MADE = Recipe(method="test")
KEYS = {"unet": "unet.*attn2.to_k", "transformer": "transformer.*add_k_proj"}
ATTENTION = {"unet": "unet.*.attn2", "transformer": "transformer.*.attn"}


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


def factors(name: str, d_in: int, d_out: int) -> tuple[Tensor, Tensor]:
    random = generator(name)
    down = torch.randn(2, d_in, generator=random)
    return down, 0.1 * torch.randn(d_out, 2, generator=random)


def adapter(model: Any, **settings: Any) -> Adapter:
    pairs = {
        name: factors(name, module.in_features, module.out_features)
        for name, module in model.modules(KEYS[model.denoiser]).items()
    }
    down, up = ({name: pair[i] for name, pair in pairs.items()} for i in (0, 1))
    return Adapter(down=down, up=up, **settings)


@torch.no_grad()
def drawn(model: Any, *hooks: Hook) -> Tensor:
    with model.hooked(hooks):
        cond, null = model.conditions(["a cat", "a dog"])
        x = noise([0, 1], model.latent_shape)
        out: Tensor = model.denoise(x, Step(u=0.5, guidance=3.0), cond, null)[0]
        return out


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4)


def test_without_an_activation_it_is_a_low_rank_delta(model: Any) -> None:
    hook = adapter(model, activation="none", strength=0.7)
    deltas = {f"{n}.weight": LowRank(0.7 * hook.up[n], hook.down[n]) for n in hook.down}
    edit = Edit.of(model, deltas, recipe=MADE)
    with edit.applied(model):
        expected = drawn(model)
    assert not close(expected, drawn(model))
    assert close(drawn(model, hook), expected)


@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
def test_strengths_add_up(model: Any, activation: str) -> None:
    whole = adapter(model, activation=activation)
    assert close(drawn(model, whole.scaled(0.5), whole.scaled(0.5)), drawn(model, whole))
    assert close(drawn(model, whole, whole.scaled(-1)), drawn(model))
    assert torch.equal(drawn(model, whole.scaled(0)), drawn(model))


def test_activations_differ(model: Any) -> None:
    found = [drawn(model, adapter(model, activation=a)) for a in ("none", "relu", "gelu")]
    assert not close(found[0], found[1])
    assert not close(found[1], found[2])


def test_it_stands_beside_whole_attention_layers_too(model: Any) -> None:
    names = list(model.modules(ATTENTION[model.denoiser]))
    pairs = {}
    for name, module in model.modules(ATTENTION[model.denoiser]).items():
        width = module.to_q.in_features
        pairs[name] = factors(name, width, width)
    hook = Adapter(down={n: p[0] for n, p in pairs.items()}, up={n: p[1] for n, p in pairs.items()})
    assert hook.modules == tuple(names)
    assert not close(drawn(model, hook), drawn(model))


def test_gradients_reach_its_weights(model: Any) -> None:
    hook = adapter(model)
    leaves = [*hook.up.values(), *hook.down.values()]
    for leaf in leaves:
        leaf.requires_grad_(True)
    with model.hooked([hook]):
        cond = model.encode("a cat")
        model.predict(noise([0], model.latent_shape), 0.5, cond).sum().backward()
    assert all(leaf.grad is not None and bool(leaf.grad.any()) for leaf in leaves)


def test_weights_that_do_not_fit_are_refused(model: Any) -> None:
    good = adapter(model)
    name = next(iter(good.down))
    with pytest.raises(BadSetting, match="same submodules"):
        Adapter(down=good.down, up={})
    with pytest.raises(BadSetting, match="same submodules"):
        Adapter(down={}, up={})
    with pytest.raises(BadSetting, match="d_in"):
        Adapter(down={name: torch.ones(2, 3)}, up={name: torch.ones(3, 3)})
    wrong = Adapter(down={name: torch.ones(2, 3)}, up={name: torch.ones(3, 2)})
    with pytest.raises(UserError, match="another model"):
        drawn(model, wrong)
    with pytest.raises(ExciseError, match=r"unet\.none"):
        drawn(
            model, Adapter(down={"unet.none": torch.ones(2, 3)}, up={"unet.none": torch.ones(3, 2)})
        )
