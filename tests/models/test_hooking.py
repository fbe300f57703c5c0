"""Gradients around hooks that let none through, and a model that is looked at without its hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.models.load import of_pipeline
from excise.rng import generator
from excise.types import Condition, Gradient, Hook, State, Step

STEP = Step(u=0.5, guidance=2.0)


@dataclass(frozen=True, eq=False)
class Rounded(Hook):
    """Rounds the condition, the prediction or what a module says; no gradient survives that."""

    gradient: ClassVar[Gradient] = "none"

    place: str
    remember: bool = False

    @property
    def modules(self) -> tuple[str, ...]:
        return ("unet.mid_block*attn2", "unet.down_blocks.0") if self.place == "module" else ()

    def condition(
        self, model: Any, prompts: Any, cond: Condition, null: Any
    ) -> tuple[Condition, Condition | None]:
        if self.place != "condition":
            return cond, null
        assert null is not None
        null = null.replace(note=null.hidden[:, 0])
        return cond.replace(hidden=rounded(cond.hidden), note=cond.hidden[:, 0]), null

    def prediction(
        self, model: Any, denoise: Any, x: Tensor, step: Step, cond: Any, null: Any, state: State
    ) -> tuple[Tensor, State]:
        out, inner = denoise(x, step, cond, null, state.inner)
        if self.place == "prediction":
            out = rounded(out)
        return out, State(own={"seen": x.sum()[None]} if self.remember else {}, inner=inner)

    def module(self, call: Any, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        if isinstance(out, tuple):  # a block's features, and those that skip
            return (rounded(out[0]), *out[1:])
        return rounded(out)


def rounded(value: Tensor) -> Tensor:
    return (4 * value).round() / 4


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def drawn(model: Any, hidden: Tensor) -> Tensor:
    x = torch.randn(2, *model.latent_shape, generator=generator("x"))
    cond = model.encode(["a cat", "a dog"]).replace(hidden=hidden)
    cond, null = model.conditions((), condition=cond)
    out: Tensor = model.denoise(x, STEP, cond, null)[0]
    return out


@pytest.mark.parametrize("place", ["condition", "prediction", "module"])
def test_the_value_is_the_hook_s_and_the_gradient_is_that_without_it(
    model: Any, place: str
) -> None:
    leaf = model.encode(["a cat", "a dog"]).hidden.detach().clone().requires_grad_()
    with model.trainable(()):
        plain = drawn(model, leaf)
        (without,) = torch.autograd.grad(plain.sum(), leaf)
        with model.hooked([Rounded(place)]):
            with torch.no_grad():
                exact = drawn(model, leaf)
            out = drawn(model, leaf)
            (around,) = torch.autograd.grad(out.sum(), leaf)
    assert torch.equal(out, exact)
    assert not torch.allclose(out, plain)
    assert around.isfinite().all()
    if place == "prediction":  # the last to act: what comes before it is as without it
        torch.testing.assert_close(around, without)
    else:  # taken at the hook's values
        assert torch.cosine_similarity(around.flatten(), without.flatten(), dim=0) > 0.5


def test_other_hooks_are_gone_through_and_their_state_is_kept(model: Any) -> None:
    class Scaled(Hook):
        def prediction(self, model, denoise, x, step, cond, null, state):  # type: ignore[no-untyped-def]
            out, inner = denoise(x, step, cond, null, state.inner)
            return 3 * out, State(own={"count": torch.ones(1)}, inner=inner)

    cond = model.encode(["a cat", "a dog"])
    leaf = cond.hidden.detach().clone().requires_grad_()
    x = torch.randn(2, *model.latent_shape, generator=generator("x"))
    with model.trainable(()):
        (without,) = torch.autograd.grad(drawn(model, leaf).sum(), leaf)
        with model.hooked([Scaled(), Rounded("prediction", remember=True), Scaled()]):
            cond, null = model.conditions((), condition=cond.replace(hidden=leaf))
            out, state = model.denoise(x, STEP, cond, null)
            (around,) = torch.autograd.grad(out.sum(), leaf)
            with torch.no_grad():
                exact, known = model.denoise(x, STEP, cond, null)
    torch.testing.assert_close(around, 9 * without)
    assert torch.equal(out, exact)
    assert torch.equal(state.inner.own["seen"], known.inner.own["seen"])
    assert state.inner.inner.own["count"].tolist() == [1.0]


def test_a_model_can_be_looked_at_without_its_hooks(model: Any) -> None:
    hidden = model.encode(["a cat", "a dog"]).hidden.detach()
    with torch.no_grad():
        plain = drawn(model, hidden)
        hooks = [Rounded("condition"), Rounded("prediction"), Rounded("module")]
        with model.hooked(hooks):
            hooked, edits = drawn(model, hidden), model.edits
            with pytest.raises(RuntimeError), model.unhooked():
                assert model.hooks == ()
                assert model.edits != edits  # what is remembered is not mixed up
                assert torch.equal(drawn(model, hidden), plain)
                with model.hooked([Rounded("module")]):
                    assert not torch.equal(drawn(model, hidden), plain)
                raise RuntimeError
            assert model.hooks == tuple(hooks)
            assert model.edits == edits
            assert torch.equal(drawn(model, hidden), hooked)
        assert not torch.equal(hooked, plain)
