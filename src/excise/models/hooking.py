"""The stack of applied hooks: how each of them gets between the model and what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from torch import Tensor, nn

from excise.models.blocks import modules_matching
from excise.types import Call, Condition, Denoise, Hook, Prompt, State, Step, TextToImage


@dataclass
class Evaluation:
    """What is being evaluated just now, for the submodules that hooks wrap."""

    call: Call = Call(module="")  # noqa: RUF009 - frozen

    @contextmanager
    def of(self, **fields: Any) -> Iterator[None]:
        """Set for the length of a context."""
        before, self.call = self.call, Call(module="", **fields)
        try:
            yield
        finally:
            self.call = before


def guided(model: TextToImage, hooks: Sequence[Hook], inner: Denoise) -> Denoise:
    """``inner`` within the hooks' ``prediction``, the last hook outermost."""
    for hook in hooks:
        if type(hook).prediction is not Hook.prediction:
            inner = _around(model, hook, inner)
    return inner


def _around(model: TextToImage, hook: Hook, inner: Denoise) -> Denoise:
    def denoise(
        x: Tensor, step: Step, cond: Condition, null: Condition | None, state: State | None
    ) -> tuple[Tensor, State | None]:
        return hook.prediction(model, inner, x, step, cond, null, state or State())

    return denoise


def conditioned(
    model: TextToImage,
    hooks: Sequence[Hook],
    prompts: tuple[Prompt, ...],
    cond: Condition,
    null: Condition | None,
) -> tuple[Condition, Condition | None]:
    """The pair after every hook's ``condition``, the first hook first."""
    for hook in hooks:
        cond, null = hook.condition(model, prompts, cond, null)
    return cond, null


@contextmanager
def wrapped(
    hooks: Sequence[Hook], modules: Mapping[str, nn.Module], evaluation: Evaluation
) -> Iterator[None]:
    """Every submodule that a hook asks for runs through the hook's ``module``."""
    with ExitStack() as stack:
        for hook in hooks:
            for name, module in modules_matching(hook.modules, modules).items():
                stack.enter_context(_wrapped(hook, name, module, evaluation))
        yield


@contextmanager
def _wrapped(hook: Hook, name: str, module: nn.Module, evaluation: Evaluation) -> Iterator[None]:
    # An instance's own `forward` is left behind by other wrappers; the class's is the usual case.
    own = module.__dict__.get("forward")
    inner: Callable[..., Any] = module.forward

    @wraps(inner)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return hook.module(replace(evaluation.call, module=name), inner, args, kwargs)

    try:
        module.forward = forward
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.forward = own
