"""Safe Latent Diffusion: guide away from a text where the prompt leads towards it.

Schramowski et al. 2023, "Safe Latent Diffusion: Mitigating Inappropriate Degeneration in Diffusion
Models" (arXiv:2211.05105), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from excise.errors import BadSetting
from excise.hooks.base import Gradient, Hook, alone, in_place_of, innermost, needs_null
from excise.types import Condition, Denoise, State, Step, TextToImage


@dataclass(frozen=True, eq=False, kw_only=True)
class SLD(Hook):
    """Subtract the safety guidance gamma inside the guidance.

    With predictions 0 of the unconditional, p of the prompt and S of the text, at guidance s::

        mu    = min(1, s_S |p - S|) where p - S < lambda, else 0       (eq. 6)
        gamma = mu (S - 0) + s_m nu                                    (eqs. 4, 7)
        nu    <- beta_m nu + (1 - beta_m) gamma                        (eq. 8)
        0 + s (p - 0 - gamma)                                          (eq. 3)

    gamma is subtracted from step ``warmup`` on; the momentum nu is built up before, too. Steps are
    counted by their index from 0, as diffusers does, whatever their number; the paper draws in 50.
    At s = 1 nothing is guided and nothing is subtracted, as in diffusers. The comparison of p with
    S is one of noises: other predictions are converted, gamma and nu stay in the network's own.

    text: what is not to be seen. warmup: delta. scale: s_S. threshold: lambda. momentum: s_m.
    decay: beta_m. strength: factor of gamma in eq. 3.
    """

    name: ClassVar[str] = "sld"
    gradient: ClassVar[Gradient] = "differentiable"

    text: str
    warmup: int = 10
    scale: float = 1000.0
    threshold: float = 0.01
    momentum: float = 0.3
    decay: float = 0.4
    strength: float = 1.0

    def __post_init__(self) -> None:
        for name, good, wanted in (
            ("warmup", self.warmup >= 0, ">= 0"),
            ("scale", self.scale > 0, "> 0"),
            ("momentum", 0 <= self.momentum <= 1, "in [0, 1]"),
            ("decay", 0 <= self.decay < 1, "in [0, 1)"),
        ):
            if not good:
                raise BadSetting(
                    f"{self.name}: expected {name} {wanted}, got {getattr(self, name)}"
                )

    def scaled(self, factor: float) -> SLD:
        """At ``factor`` times the strength."""
        return replace(self, strength=self.strength * factor)

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
        """The guided step less s gamma. The momentum and the encoded text are kept.

        Three evaluations a row, or five where other hooks or terms have a part in the guidance.
        """
        if step.guidance == 1:
            prediction, inner = denoise(x, step, cond, null, state.inner)
            return prediction, State(own=state.own, inner=inner)
        own = dict(state.own) or dict(model.encode(self.text).tensors)  # one row each
        nu = own.pop("momentum", torch.zeros_like(x))
        null = needs_null(null, self).expand(len(x))
        cond = cond.expand(len(x))
        rows = Condition.cat([null, cond, in_place_of(cond, own)])
        none, prompt, away = denoise(torch.cat([x] * 3), alone(step), rows, None, None)[0].chunk(3)
        inner = state.inner
        if innermost(model, self) and not step.terms:
            guided = none + step.guidance * (prompt - none)
        else:
            guided, inner = denoise(x, step, cond, null, inner)
        apart = model.to_eps(x, prompt, step.u) - model.to_eps(x, away, step.u)
        mu = (apart.abs() * self.scale).clamp(max=1)
        mu = torch.where(apart >= self.threshold, torch.zeros_like(mu), mu)
        gamma = mu * (away - none) + self.momentum * nu  # (n, c, h, w)
        nu = self.decay * nu + (1 - self.decay) * gamma
        if step.index >= self.warmup:
            guided = guided - step.guidance * self.strength * gamma
        return guided, State(own={**own, "momentum": nu}, inner=inner)
