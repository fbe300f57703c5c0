"""The doubt fires where a guard cuts gradients off, and is silent where it lets them through."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.hooks.negative_prompt import NegativePrompt
from excise.hooks.safree import SAFREE
from excise.hooks.sld import SLD
from excise.models.load import of_pipeline
from excise.primitives.gradients import Flow, flow
from excise.types import Gradient, Hook, State, Step


@dataclass(frozen=True, eq=False)
class Cut(Hook):
    """A guard whose answer depends on the words but whose gradient does not; it does not say so."""

    share: float = 1.0  # of the gradient that is cut off
    nan: bool = False

    def prediction(
        self, model: Any, denoise: Any, x: Tensor, step: Step, cond: Any, null: Any, state: State
    ) -> tuple[Tensor, State]:
        out, inner = denoise(x, step, cond, null, state.inner)
        if self.nan:
            out = out + 0 * (out - out.detach()).abs().sqrt()
        return self.share * out.detach() + (1 - self.share) * out, State(inner=inner)


class CutModule(Hook):
    """The same, inside the network."""

    modules = ("unet.*attn2",)

    def module(self, call: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        return forward(*args, **kwargs).detach()


class Honest(Cut):
    """The same, and it says so."""

    gradient: ClassVar[Gradient] = "none"


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 6, "guidance": 3.0})


def measured(model: Any, *hooks: Hook, **options: Any) -> Flow:
    with model.hooked(hooks):
        return flow(model, levels=4, **options)


@pytest.mark.parametrize(
    "hook",
    [
        SLD(text="a dog", warmup=0),
        SAFREE(phrases=("cat", "dog"), middle=0.0),
        NegativePrompt(text="a dog"),
    ],
    ids=lambda hook: hook.name,
)
def test_it_is_silent_where_gradients_come_through(model: Any, hook: Hook) -> None:
    found = measured(model, hook)
    assert not found.vanished
    assert found.finite
    assert found.around == ()
    assert found.hooks == ((hook.name, hook.gradient),)  # type: ignore[attr-defined]
    assert all(norm > 0 for norm in found.plain)


def test_it_fires_on_a_guard_that_cuts_them_off(model: Any) -> None:
    found = measured(model, Cut())
    assert found.hooked == (0.0,) * 4
    assert found.ratio == 0
    assert found.vanished
    assert not measured(model, Cut(share=0.9)).vanished
    assert measured(model, Cut(share=0.9)).ratio == pytest.approx(0.1, rel=1e-3)
    assert measured(model, Cut(share=0.99999)).vanished
    assert measured(model, CutModule()).vanished
    assert measured(model, Cut(), space="condition").vanished


def test_it_fires_where_they_are_no_numbers(model: Any) -> None:
    found = measured(model, Cut(share=0.0, nan=True))
    assert not found.finite
    assert found.vanished
    again = Flow.from_json(json.loads(json.dumps(found.to_json())))
    assert again.vanished
    assert again.plain == found.plain


def test_a_guard_that_says_so_is_gone_around(model: Any) -> None:
    found = measured(model, Honest(), SLD(text="a dog", warmup=0))
    assert found.around == ("Honest",)
    assert not found.vanished


def test_without_hooks_nothing_is_lost(model: Any) -> None:
    found = measured(model)
    assert found.hooked == found.plain
    assert (found.ratio, found.hooks, found.vanished) == (1.0, (), False)
    assert Flow.from_json(found.to_json()) == found


def test_the_model_is_left_as_it_was(model: Any) -> None:
    hook = SLD(text="a dog", warmup=0)
    before = torch.get_rng_state()
    with model.hooked([hook], key="guard"):
        assert flow(model, levels=2) == flow(model, levels=2)
        assert model.hooks == (hook,)
        assert model.edits == ("guard",)
    assert torch.equal(before, torch.get_rng_state())
