"""A bottleneck beside submodules: a small network, which a fine-tune can teach to erase."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadSetting, UserError
from excise.hooks.base import Gradient, Hook
from excise.types import Call

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Adapter(Hook):
    """h <- h + strength * W_up f(W_down x), with x what the submodule reads and h what it answers.

    The parallel adapter of He et al. 2022 (arXiv:2110.04366, table 1); without an activation it is
    LoRA. For submodules whose first input and (first) output have their features last: linear and
    attention layers.

    down: by the submodule's canonical name, W_down (r, d_in). up: W_up (d_out, r).
    """

    name: ClassVar[str] = "adapter"
    gradient: ClassVar[Gradient] = "differentiable"

    down: Mapping[str, Tensor]
    up: Mapping[str, Tensor]
    activation: Literal["none", "relu", "gelu"] = "gelu"
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.down.keys() != self.up.keys() or not self.down:
            raise BadSetting(
                f"{self.name}: expected down and up for the same submodules, at least one, got "
                f"{sorted(self.down)} and {sorted(self.up)}"
            )
        for name, down in self.down.items():
            shapes = tuple(down.shape), tuple(self.up[name].shape)
            if down.dim() != 2 or self.up[name].dim() != 2 or shapes[0][0] != shapes[1][1]:
                raise BadSetting(
                    f"{self.name}: expected down (r, d_in) and up (d_out, r) for {name}, got "
                    f"{shapes[0]} and {shapes[1]}"
                )

    @property
    def modules(self) -> tuple[str, ...]:
        """The submodules that it has weights for."""
        return tuple(self.down)

    def scaled(self, factor: float) -> Adapter:
        """At ``factor`` times the strength."""
        return replace(self, strength=self.strength * factor)

    def module(
        self,
        call: Call,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """The submodule's answer, and the bottleneck's on top of it."""
        down, up = self.down[call.module], self.up[call.module]
        x = args[0] if args else next(iter(kwargs.values()), None)
        if not isinstance(x, Tensor) or x.shape[-1] != down.shape[1]:
            found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise UserError(
                f"expected {call.module} to read features of width {down.shape[1]}, as the adapter "
                f"does, got {found}; was it made for another model?"
            )
        answer = forward(*args, **kwargs)
        first = answer[0] if isinstance(answer, tuple) else answer
        inner = ACTIVATIONS[self.activation](F.linear(x, down.to(x)))  # (..., d_in) -> (..., r)
        first = first + self.strength * F.linear(inner, up.to(x))  # (..., r) -> (..., d_out)
        return (first, *answer[1:]) if isinstance(answer, tuple) else first
