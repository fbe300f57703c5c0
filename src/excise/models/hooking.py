"""The stack of applied hooks: how each of them gets between the model and what it does.

Hooks that declare the gradient ``none`` are gone around wherever gradients are asked for: what
comes out is the hook's, to the bit, and the backward pass is that of the model without it (BPDA:
Athalye et al. 2018, arXiv:1802.00420, section 4.1, with the identity for the hook). So every search
by gradients is one by an attacker who knows of the hook. Drawing pictures asks for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from excise.models.blocks import modules_matching
from excise.types import Call, Condition, Denoise, Hook, Prompt, State, Step, TextToImage


@dataclass
class Evaluation:
    """What is being evaluated just now, for the submodules that hooks wrap."""

    call: Call = Call(module="")  # noqa: RUF009 - frozen
    resting: tuple[Hook, ...] = ()

    @contextmanager
    def of(self, **fields: Any) -> Iterator[None]:
        """Set for the length of a context."""
        before, self.call = self.call, Call(module="", **fields)
        try:
            yield
        finally:
            self.call = before

    @contextmanager
    def without(self, hooks: tuple[Hook, ...]) -> Iterator[None]:
        """Let some hooks rest for the length of a context."""
        before, self.resting = self.resting, (*self.resting, *hooks)
        try:
            yield
        finally:
            self.resting = before


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
        state = state or State()
        if not _gone_around(hook):
            return hook.prediction(model, inner, x, step, cond, null, state)
        with torch.no_grad():
            exact, after = hook.prediction(model, inner, x, step, cond, null, state)
        return _instead(exact, inner(x, step, cond, null, state.inner)[0]), after

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
        if not _gone_around(hook) or type(hook).condition is Hook.condition:
            cond, null = hook.condition(model, prompts, cond, null)
            continue
        with torch.no_grad():
            exact, bare = hook.condition(model, prompts, cond, null)
        cond = _over(exact, cond)
        null = bare if bare is None or null is None else _over(bare, null)
    return cond, null


def _gone_around(hook: Hook) -> bool:
    return hook.gradient == "none" and torch.is_grad_enabled()


def _over(exact: Condition, plain: Condition) -> Condition:
    """The first, with the gradients of the second's tensors of the same names."""
    shared = exact.tensors.keys() & plain.tensors.keys()
    return exact.replace(
        **{name: _instead(exact.tensors[name], plain.tensors[name]) for name in shared}
    )


def _instead(exact: Any, plain: Any) -> Any:
    """The value of ``exact`` with the gradient of ``plain``, where they are of one shape."""
    if isinstance(exact, Tensor) and isinstance(plain, Tensor):
        if exact is plain or not plain.requires_grad or exact.shape != plain.shape:
            return exact
        return exact.detach() + (plain - plain.detach()).to(exact.dtype)
    if type(exact) is type(plain) is tuple and len(exact) == len(plain):
        return tuple(_instead(a, b) for a, b in zip(exact, plain, strict=True))
    return exact


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
        if any(hook is other for other in evaluation.resting):
            return inner(*args, **kwargs)
        call = replace(evaluation.call, module=name)
        if not _gone_around(hook):
            return hook.module(call, inner, args, kwargs)
        with torch.no_grad():
            exact = hook.module(call, inner, args, kwargs)
        return _instead(exact, inner(*args, **kwargs))

    try:
        module.forward = forward
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.forward = own
