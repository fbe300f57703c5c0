from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.edit import Edit, Recipe
from excise.errors import BadSetting
from excise.hooks.adapter import Adapter
from excise.models.load import of_pipeline
from excise.primitives.adapters import Adapters
from excise.primitives.finetune import Draw, Optimiser, Term, Tuned, finetune
from excise.primitives.losses import mean, own_captions, picture_errors
from excise.progress import Silent
from excise.rng import noise
from excise.store import Stages

SELECTOR = "cross_attention"
LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def term(model: Any) -> Term:
    """The loss of a few pictures under their captions."""
    captions = own_captions(model.encode(["a cat", "a dog"]))
    return Term(
        loss=mean(picture_errors(model, noise([0, 1], model.latent_shape), captions, batch=2))
    )


def tuned(model: Any, steps: int = 3, **options: Any) -> Tuned:
    settings: dict[str, Any] = {"parametrisation": Adapters(rank=2), "seed": 1, **options}
    selector = settings.pop("selector", SELECTOR)
    return finetune(
        model, selector, {"pictures": term(model)}, steps=steps, optimiser=Optimiser(lr=1e-2),
        **settings,
    )  # fmt: skip


def loss(model: Any) -> float:
    """On draws that the training never saw."""
    one = term(model).loss
    with torch.no_grad():
        return float(torch.stack([one(Draw(seed=9, term="t", step=i)) for i in range(16)]).mean())


def same(a: Adapter, b: Adapter) -> bool:
    pairs = [(a.down, b.down), (a.up, b.up)]
    return all(x.keys() == y.keys() and all(torch.equal(x[n], y[n]) for n in x) for x, y in pairs)


def test_what_is_trained_is_a_hook_and_lowers_the_loss(model: Any, tmp_path: Path) -> None:
    before, weights = loss(model), model.fingerprint()
    found = tuned(model, 60)
    assert model.fingerprint() == weights
    assert not model.hooks
    assert not found.deltas
    (hook,) = found.hooks
    assert isinstance(hook, Adapter)
    assert set(hook.down) == {
        name.removesuffix(".weight")
        for name, weight in model.parameters(SELECTOR).items()
        if weight.dim() == 2
    }
    assert {tuple(hook.down[LAYER].shape), tuple(hook.up[LAYER].shape)} == {(2, 32), (32, 2)}
    with model.hooked([hook]):
        assert loss(model) < 0.98 * before
    # As an edit, from its file.
    edit = Edit.of(model, hooks=found.hooks, recipe=Recipe(method="adapters"))
    assert edit.kind == "guard"
    edit.save(tmp_path / "edit.safetensors")
    again = Edit.load(tmp_path / "edit.safetensors")
    assert again == edit
    drawn = model.generate(["a cat"]).latents
    with again.applied(model):
        assert loss(model) < 0.98 * before
        assert not torch.equal(model.generate(["a cat"]).latents, drawn)
    assert torch.equal(model.generate(["a cat"]).latents, drawn)
    assert loss(model) == before


def test_it_starts_where_the_model_is(model: Any) -> None:
    plain = finetune(
        model, SELECTOR, {"pictures": term(model)}, steps=1, optimiser=Optimiser(lr=1e-2), seed=1
    )
    (own,), (other,) = tuned(model, 1).curves["pictures"], plain.curves["pictures"]
    assert own == pytest.approx(other, rel=1e-6)  # a matrix of zeros is added: roundings alone


def test_the_gradient_is_that_of_its_own_weights(model: Any) -> None:
    """A step of a large eps follows the gradient: of up alone, since up is zero."""
    follow = Optimiser(lr=1e9, eps=1e6, clip=None)
    settings: dict[str, Any] = {"steps": 1, "optimiser": follow, "seed": 1}
    terms = {"pictures": term(model)}
    beside = Adapters(rank=2, activation="none")
    (hook,) = finetune(model, LAYER + ".weight", terms, parametrisation=beside, **settings).hooks
    full = finetune(model, LAYER + ".weight", terms, **settings).deltas[LAYER + ".weight"]
    assert isinstance(hook, Adapter)
    wanted = full @ hook.down[LAYER].T  # (o, i) x (i, r)
    assert torch.allclose(hook.up[LAYER], wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


class StopAt(Silent):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, n: int = 1) -> None:
        self.left -= n
        if n and self.left <= 0:
            raise KeyboardInterrupt


def test_a_killed_run_ends_with_the_same_bytes(model: Any, tmp_path: Path) -> None:
    (whole,) = tuned(model, 5).hooks
    stages = Stages(tmp_path, every_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        tuned(model, 5, stage=stages.stage("t", 0), progress=StopAt(3))
    assert not model.hooks
    (again,) = tuned(model, 5, stage=stages.stage("t", 0)).hooks
    (kept,) = tuned(model, 5, stage=stages.stage("t", 0)).hooks  # from the finished stage
    assert isinstance(whole, Adapter)
    assert isinstance(again, Adapter)
    assert isinstance(kept, Adapter)
    assert same(whole, again)
    assert same(whole, kept)
    (other,) = tuned(model, 5, seed=2).hooks
    assert isinstance(other, Adapter)
    assert not same(whole, other)


def test_half_precision_models_have_full_precision_adapters() -> None:
    half = of_pipeline(tiny.stable_diffusion().to(torch.bfloat16), "half")
    (hook,) = tuned(half, 2).hooks
    assert isinstance(hook, Adapter)
    values: list[Tensor] = [*hook.down.values(), *hook.up.values()]
    assert {value.dtype for value in values} == {torch.float32}
    assert all(value.device.type == "cpu" and not value.requires_grad for value in values)
    assert any(value.any() for value in hook.up.values())


def test_mistakes_are_said(model: Any) -> None:
    with pytest.raises(BadSetting, match="rank >= 1"):
        Adapters(rank=0)
    with pytest.raises(BadSetting, match="activation among"):
        Adapters(activation="tanh")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="linear layers"):
        tuned(model, selector="unet.conv_out.*")
    with pytest.raises(BadSetting, match="no mask with adapters"):
        tuned(model, mask={LAYER + ".weight": torch.ones(32, 32)}, selector=LAYER + ".weight")
    with pytest.raises(BadSetting, match="depends on, got 'text_encoder'"):
        tuned(model, selector="text_encoder")
