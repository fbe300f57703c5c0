"""A small network beside selected layers, trained in the place of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from excise.edit import Encoded
from excise.errors import BadSetting
from excise.hooks.adapter import Adapter
from excise.primitives.parametrise import Live, Variables
from excise.rng import generator
from excise.types import Hook

Activation = Literal["none", "relu", "gelu"]
WEIGHT = ".weight"


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """``h + up f(down x)`` beside every selected linear layer, whose own weights stay.

    What comes of it is a hook, `Adapter`, and no delta: what lies between the two factors is no
    linear map, so it cannot be written into the weights (He et al. 2022, arXiv:2110.04366). Of
    what is selected, biases, kernels and the tables of embeddings have none beside them.

    rank: r of down (r, d_in) and up (d_out, r), >= 1. activation: f.
    """

    rank: int = 4
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise BadSetting(f"expected a rank >= 1, got {self.rank}")
        if self.activation not in get_args(Activation):
            raise BadSetting(
                f"expected an activation among {get_args(Activation)}, got {self.activation!r}"
            )

    def begin(self, live: Live, seed: int) -> Variables:
        """Up is zero, so that nothing is added; down is uniform in +- 1 / sqrt(its inputs).

        Raises:
            BadSetting: no linear layer is among the weights.
        """
        return _Adapters(live, self, seed)


class _Adapters(Variables):
    def __init__(self, live: Live, settings: Adapters, seed: int) -> None:
        self._settings = settings
        self._names: list[str] = []
        self.values = {}
        for name, weight in live.items():
            weight.requires_grad_(False)  # it stays, and what asked for the gradient resets this
            if weight.dim() != 2 or not name.endswith(WEIGHT) or "_embedding." in name:
                continue
            module, (out, inputs) = name.removesuffix(WEIGHT), weight.shape
            down = torch.rand(settings.rank, inputs, generator=generator("adapter", seed, module))
            up = torch.zeros(out, settings.rank, device=weight.device)
            self.values[f"{module}#down"] = ((2 * down - 1) / inputs**0.5).to(weight.device)
            self.values[f"{module}#up"] = up
            self._names.append(module)
        if not self._names:
            raise BadSetting(
                f"expected a selector of linear layers, to have adapters beside them, got "
                f"{', '.join(list(live)[:3])}; select, say, cross_attention"
            )
        for value in self.values.values():
            value.requires_grad_()

    @property
    def graded(self) -> Mapping[str, Tensor]:
        return self.values

    def push(self) -> None:
        """The hook reads the values themselves."""

    def pull(self, scale: float) -> None:
        for value in self.values.values():
            if scale != 1 and value.grad is not None:
                value.grad /= scale

    def deltas(self, values: Mapping[str, Tensor]) -> dict[str, Encoded]:
        return {}

    def hooks(self, values: Mapping[str, Tensor]) -> tuple[Hook, ...]:
        down, up = (
            {module: values[f"{module}#{side}"] for module in self._names}
            for side in ("down", "up")
        )
        return (Adapter(down=down, up=up, activation=self._settings.activation),)
