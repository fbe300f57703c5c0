"""What an optimiser moves in the place of a model's weights: always fp32, whatever the model is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from excise.edit import Encoded, encodings
from excise.errors import BadSetting
from excise.rng import generator
from excise.types import Hook

Live = Mapping[str, nn.Parameter]


class Variables(ABC):
    """The values that are optimised for a set of live weights.

    values: fp32 leaves by name, beside the weights.
    """

    values: dict[str, Tensor]

    @property
    @abstractmethod
    def graded(self) -> Mapping[str, Tensor]:
        """What a backward pass leaves gradients in, by name: live weights, or the values."""

    def hooks(self, values: Mapping[str, Tensor]) -> tuple[Hook, ...]:
        """What such values mean beside the weights: nothing, of most."""
        return ()

    @abstractmethod
    def push(self) -> None:
        """Write the weights that the values mean into the live model, in its own precision."""

    @abstractmethod
    def pull(self, scale: float) -> None:
        """Turn the live weights' gradients, divided by ``scale``, into the values'; drop them."""

    @abstractmethod
    def deltas(self, values: Mapping[str, Tensor]) -> dict[str, Encoded]:
        """By how much such values move each weight, by canonical name: fp32, on the CPU."""


class Parametrisation(Protocol):
    """How selected weights are moved."""

    def begin(self, live: Live, seed: int) -> Variables:
        """Values that mean the weights as they are now."""


@dataclass(frozen=True)
class Full:
    """Every entry of every weight on its own."""

    def begin(self, live: Live, seed: int) -> Variables:
        """An fp32 copy of each weight; a weight that is fp32 already is its own."""
        return _Full(live)


class _Full(Variables):
    def __init__(self, live: Live) -> None:
        self._live = live
        self._before = {name: _fp32(weight).to("cpu", copy=True) for name, weight in live.items()}
        self.values = {
            name: weight if weight.dtype == torch.float32 else _fp32(weight).requires_grad_()
            for name, weight in live.items()
        }

    @property
    def graded(self) -> Mapping[str, Tensor]:
        return self._live

    def push(self) -> None:
        for name, value in self.values.items():
            if value is not self._live[name]:
                self._live[name].data.copy_(value.detach())

    def pull(self, scale: float) -> None:
        for name, value in self.values.items():
            gradient = self._live[name].grad
            if value is not self._live[name]:
                value.grad = None if gradient is None else gradient.float()
                self._live[name].grad = None
            if scale != 1 and value.grad is not None:
                value.grad /= scale

    def deltas(self, values: Mapping[str, Tensor]) -> dict[str, Encoded]:
        return {n: encodings.Dense(_fp32(v).cpu() - self._before[n]) for n, v in values.items()}


@dataclass(frozen=True, kw_only=True)
class LowRank:
    """W + (alpha / rank) up @ down (Hu et al. 2021, arXiv:2106.09685, section 4.1).

    A kernel (o, i, h, w) counts as a matrix (o, i h w). Vectors, such as biases, stay as they are.
    The gradient reaches the factors through that of W, so nothing in the model is replaced; what
    is saved is not memory but freedom.

    rank: >= 1. alpha: None is the rank, a factor of one.
    """

    rank: int = 4
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise BadSetting(f"expected a rank >= 1, got {self.rank}")

    @property
    def factor(self) -> float:
        """The factor on ``up @ down``."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def begin(self, live: Live, seed: int) -> Variables:
        """Up is zero, so that nothing has moved; down is uniform in +- 1 / sqrt(its inputs)."""
        return _LowRank(live, self.rank, self.factor, seed)


class _LowRank(Variables):
    def __init__(self, live: Live, rank: int, factor: float, seed: int) -> None:
        self._live = {name: weight for name, weight in live.items() if weight.dim() > 1}
        self._factor = factor
        self._before = {name: _fp32(w).clone() for name, w in self._live.items()}
        self.values = {}
        for name, weight in self._live.items():
            out, inputs = weight.flatten(1).shape
            down = torch.rand(rank, inputs, generator=generator("low rank", seed, name))
            down = (2 * down - 1) / inputs**0.5
            self.values[f"{name}#up"] = torch.zeros(out, rank, device=weight.device)
            self.values[f"{name}#down"] = down.to(weight.device)
        for value in self.values.values():
            value.requires_grad_()

    @property
    def graded(self) -> Mapping[str, Tensor]:
        return self._live

    def push(self) -> None:
        for name, weight in self._live.items():
            delta = self._delta(self.values, name, None).dense()
            weight.data.copy_(self._before[name] + delta)

    def pull(self, scale: float) -> None:
        for name, weight in self._live.items():
            if weight.grad is None:
                continue
            gradient = weight.grad.float().flatten(1) * (self._factor / scale)  # (o, i)
            up, down = self.values[f"{name}#up"], self.values[f"{name}#down"]
            up.grad = gradient @ down.detach().T  # (o, i) x (i, r) -> (o, r)
            down.grad = up.detach().T @ gradient  # (r, o) x (o, i) -> (r, i)
            weight.grad = None

    def deltas(self, values: Mapping[str, Tensor]) -> dict[str, Encoded]:
        return {name: self._delta(values, name, "cpu") for name in self._live}

    def _delta(self, values: Mapping[str, Tensor], name: str, device: str | None) -> Encoded:
        up, down = values[f"{name}#up"].detach(), values[f"{name}#down"].detach()
        up = self._factor * up
        if device is not None:
            up, down = up.to(device), down.to(device, copy=True)
        return encodings.LowRank(up, down, tuple(self._live[name].shape))


def of_rank(rank: int | None) -> Parametrisation:
    """Low rank, or every entry for None. Raises BadSetting for a rank below 1."""
    return Full() if rank is None else LowRank(rank=rank)


def _fp32(weight: Tensor) -> Tensor:
    return weight.detach().float()
