"""What noise level means: the two noising processes, and what a network predicts in each.

At fixed (x, u), clean latents, noise and prediction are affine in one another, so that a target
whose weights sum to one can be written in any of the three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from excise.types import Level

Prediction = Literal["epsilon", "v_prediction", "sample", "flow"]


@dataclass(frozen=True, eq=False)
class Process(ABC):
    """x = a x0 + b eps, with a and b given by u in [0, 1], 0 = data.

    prediction: ``epsilon`` eps; ``sample`` x0; ``v_prediction`` a eps - b x0 (Salimans and Ho 2022,
    arXiv:2202.00512, appendix D); ``flow`` eps - x0 (rectified flow).
    """

    prediction: Prediction

    @property
    @abstractmethod
    def levels(self) -> int | None:
        """Number of noise levels, u = i / (levels - 1); None if continuous."""

    @abstractmethod
    def timestep(self, u: Tensor) -> Tensor:
        """What the network reads, in float32, of levels u (n,)."""

    @abstractmethod
    def level(self, timestep: float) -> float:
        """The level u of what the network reads."""

    @abstractmethod
    def coefficients(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The factors a and b, float32 (n,), of levels u (n,)."""

    def noise(self, x0: Tensor, eps: Tensor, u: Level) -> Tensor:
        """Noisy latents x at level u."""
        a, b = self._ab(x0, u)
        return a * x0 + b * eps

    def target(self, x0: Tensor, eps: Tensor, u: Level) -> Tensor:
        """What a perfect network predicts."""
        a, b = self._ab(x0, u)
        match self.prediction:
            case "epsilon":
                return eps
            case "sample":
                return x0
            case "v_prediction":
                return a * eps - b * x0
            case "flow":
                return eps - x0

    def to_x0(self, x: Tensor, prediction: Tensor, u: Level) -> Tensor:
        """Clean latents."""
        a, b = self._ab(x, u)
        match self.prediction:
            case "epsilon":
                return (x - b * prediction) / a
            case "sample":
                return prediction
            case "v_prediction":  # with a^2 + b^2 = 1
                return a * x - b * prediction
            case "flow":  # with a + b = 1
                return x - b * prediction

    def to_eps(self, x: Tensor, prediction: Tensor, u: Level) -> Tensor:
        """Noise."""
        a, b = self._ab(x, u)
        match self.prediction:
            case "epsilon":
                return prediction
            case "sample":
                return (x - a * prediction) / b
            case "v_prediction":
                return b * x + a * prediction
            case "flow":
                return x + a * prediction

    def _ab(self, like: Tensor, u: Level) -> tuple[Tensor, Tensor]:
        a, b = self.coefficients(levels_of(u, like))
        return _rows(a, like), _rows(b, like)


@dataclass(frozen=True, eq=False)
class Discrete(Process):
    """In T steps: a = sqrt(abar_t), b = sqrt(1 - abar_t) (Ho et al. 2020, arXiv:2006.11239, eq. 4).

    u is mapped to the nearest step, t = round(u (T - 1)), so that every u means a noise level that
    the network was trained on; u = 0 is the least noisy step, not the data themselves.

    abar: float64 (T,), decreasing.
    """

    abar: Tensor

    @property
    def levels(self) -> int | None:
        """T."""
        return len(self.abar)

    def timestep(self, u: Tensor) -> Tensor:
        """The step t, in 0 .. T - 1."""
        return (u * (len(self.abar) - 1)).round()

    def level(self, timestep: float) -> float:
        """The level t / (T - 1)."""
        return timestep / (len(self.abar) - 1)

    def coefficients(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Of the nearest step."""
        abar = self.abar.to(u.device)[self.timestep(u).long()]
        return abar.sqrt().float(), (1 - abar).sqrt().float()


@dataclass(frozen=True, eq=False)
class Flow(Process):
    """A straight line, x = (1 - u) x0 + u eps (Liu et al. 2022, arXiv:2209.03003).

    scale: the network reads ``scale`` u.
    """

    scale: float

    @property
    def levels(self) -> int | None:
        """None: continuous."""
        return None

    def timestep(self, u: Tensor) -> Tensor:
        """``scale`` u."""
        return u * self.scale

    def level(self, timestep: float) -> float:
        """The inverse."""
        return timestep / self.scale

    def coefficients(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """1 - u and u."""
        return 1 - u, u


def levels_of(u: Level, like: Tensor) -> Tensor:
    """A number, or a tensor of one or n, as float32 (n,) beside ``like`` (n, ...)."""
    levels = torch.as_tensor(u, dtype=torch.float32, device=like.device)
    return levels.reshape(-1).expand(len(like))


def _rows(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1)).to(like.dtype)  # (n,) -> (n, 1, 1, 1)
