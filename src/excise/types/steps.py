"""One guided step, and the hooks that stand around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from excise.types.condition import Condition
from excise.types.values import Prompt

if TYPE_CHECKING:
    from excise.types.protocols import TextToImage


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """Where a guided evaluation stands in the drawing of a picture.

    u: noise level in [0, 1], 0 = data. timestep: the same, as the network reads it; None lets the
        family work it out from u. index, total: the step, counted from 0, of how many.
    guidance: s in prediction(null) + s * (prediction(cond) - prediction(null)).
    terms: further (condition, weight), each adding weight * (prediction(term) - prediction(null)).
    """

    u: float
    timestep: float | None = None
    index: int = 0
    total: int = 1
    guidance: float = 1.0
    terms: tuple[tuple[Condition, float], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class State:
    """What hooks remember between steps, one level a hook, the outermost first.

    own: this hook's memory. inner: that of what it calls: hand it to ``denoise``, and keep what
    comes back. Empty at the first step.
    """

    own: Mapping[str, Tensor] = field(default_factory=dict)
    inner: State | None = None


Gradient = Literal["differentiable", "straight-through", "none"]
"""How an attacker's gradient goes through a hook; see `Hook`."""

Denoise = Callable[
    [Tensor, Step, Condition, Condition | None, State | None], tuple[Tensor, State | None]
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Call:
    """What is being evaluated while a wrapped submodule runs.

    module: canonical name of the submodule, such as ``unet.mid_block``.
    cond: the condition of the rows that go through the network (null, cond and terms stacked when
        guided); None inside a text encoder. u: (n,) noise levels; None inside a text encoder.
    step: the guided step; None inside a plain ``predict``.
    prompts: the rows being encoded; empty inside the denoiser.
    """

    module: str
    cond: Condition | None = None
    u: Tensor | None = None
    step: Step | None = None
    prompts: tuple[Prompt, ...] = ()


class Hook:
    """A change made while drawing, at up to three places; a subclass overrides what it needs.

    Hooks are pure: what they must remember between steps is in ``State``, what they know of a
    prompt may be put into the condition under a name of their own (in cond and null alike).
    The hook applied last is the outermost at ``prediction`` and ``module``, and the last to map
    at ``condition``.

    gradient: how the gradient of what is drawn goes through, from the prediction back to x, to the
        condition and to the prompts' soft vectors.

        - ``differentiable``: autograd's gradient is the derivative of what is computed, wherever
          that has one (thresholds may make it piecewise).
        - ``straight-through``: the value is exact, but at decisions (this token, so many steps)
          the backward pass takes the derivative of a smooth stand-in, so that a search feels them.
        - ``none``: nothing comes back. Where gradients are asked for the hook is gone around: its
          value stands, and the backward pass is that of the model without it.
    """

    gradient: ClassVar[Gradient] = "differentiable"

    @property
    def modules(self) -> tuple[str, ...]:
        """Selectors (canonical names or globs) of the submodules that ``module`` wraps.

        A class whose places are fixed may say ``modules: ClassVar[tuple[str, ...]] = (...)``.
        """
        return ()

    def condition(
        self,
        model: TextToImage,
        prompts: tuple[Prompt, ...],
        cond: Condition,
        null: Condition | None,
    ) -> tuple[Condition, Condition | None]:
        """Map what is drawn. ``prompts`` is empty where a bare condition was given."""
        return cond, null

    def prediction(
        self,
        model: TextToImage,
        denoise: Denoise,
        x: Tensor,
        step: Step,
        cond: Condition,
        null: Condition | None,
        state: State,
    ) -> tuple[Tensor, State]:
        """Map one guided step.

        ``denoise`` may be called any number of times, with other steps and conditions; at
        ``replace(step, guidance=1.0, terms=())`` it predicts ``cond`` alone.
        """
        prediction, inner = denoise(x, step, cond, null, state.inner)
        return prediction, State(own=state.own, inner=inner)

    def module(
        self,
        call: Call,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Run in the place of a submodule: ``forward(*args, **kwargs)`` is the original."""
        return forward(*args, **kwargs)
