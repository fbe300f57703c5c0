"""How much gradient a guarded model lets an attacker have: a doubt about every gradient attack.

Where gradients vanish behind a guard, searches by gradients find nothing on a model that other
searches may well break: "obfuscated gradients" (Athalye et al. 2018, arXiv:1802.00420).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from excise.primitives.bands import at_levels
from excise.primitives.denoising import mapped, prediction
from excise.primitives.kernels import for_gradients
from excise.primitives.spaces import SOFT, Name, Space, Values, space_for
from excise.rng import generator
from excise.types import TextToImage

LEAST = 1e-3
"""Of the gradient that there is without hooks, what has to be left at the median level."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The gradient that reaches an attacker's inputs, level by level.

    hooks: name and declaration of each, the innermost first. levels: u, from little noise to much.
    hooked, plain: the gradient's norm with the hooks and without; NaN or infinite where it is.
    """

    hooks: tuple[tuple[str, str], ...]
    levels: tuple[float, ...]
    hooked: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def finite(self) -> bool:
        """Is it a number wherever it is one without hooks?"""
        pairs = zip(self.hooked, self.plain, strict=True)
        return all(math.isfinite(a) for a, b in pairs if math.isfinite(b))

    @property
    def ratio(self) -> float:
        """The median over levels of the norm with hooks over the norm without; NaN if unknown."""
        pairs = zip(self.hooked, self.plain, strict=True)
        ratios = [a / b for a, b in pairs if math.isfinite(a) and 0 < b < math.inf]
        return median(ratios) if ratios else math.nan

    @property
    def vanished(self) -> bool:
        """Is next to nothing left of it, or no number? Then searches by gradients prove nothing."""
        return not self.finite or not self.ratio >= LEAST

    @property
    def around(self) -> tuple[str, ...]:
        """The hooks that let none through by their own declaration, and are gone around."""
        return tuple(name for name, declared in self.hooks if declared == "none")

    def to_json(self) -> dict[str, Any]:
        """As JSON values; None for what is not a finite number."""
        norms = {"hooked": self.hooked, "plain": self.plain}
        return {
            "hooks": [list(pair) for pair in self.hooks],
            "levels": list(self.levels),
            **{name: [v if math.isfinite(v) else None for v in own] for name, own in norms.items()},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Flow:
        """What `to_json` wrote."""
        norms = {
            name: tuple(math.nan if value is None else float(value) for value in data[name])
            for name in ("hooked", "plain")
        }
        hooks = tuple((str(name), str(declared)) for name, declared in data["hooks"])
        return Flow(hooks=hooks, levels=tuple(map(float, data["levels"])), **norms)


def flow(
    model: TextToImage,
    *,
    template: str = f"a picture of {SOFT}",
    space: Name = "token",
    levels: int = 8,
    guidance: float | None = None,
    seed: int = 0,
) -> Flow:
    """Measure it on the model as it stands, and on the same model with its hooks at rest.

    A row for each of ``levels`` noise levels, with an input of its own at random words: the norm of
    the gradient of w . prediction with respect to it, for one random direction w. It asks for no
    pictures, since it is the derivative that counts and not what is descended on. Costs two passes
    over that many rows.

    template, space: of the search, as `Inverter`. guidance: as `prediction`.

    Raises:
        BadSetting: a template without ``<1>``.
    """
    where = space_for(model, space, template=template)
    values = where.start(range(levels), seed, "", 0.0)
    u = (torch.arange(levels, dtype=torch.float32) + 0.5) / levels
    draws = [generator(seed, "gradient flow", row) for row in range(levels)]
    x, w = (
        torch.stack([torch.randn(model.latent_shape, generator=own) for own in draws])
        for _ in range(2)
    )
    u, x, w = u.to(model.device), x.to(model.device), w.to(model.device)

    def norms() -> tuple[float, ...]:
        return _norms(model, where, values, (x, u, w), guidance)

    with model.trainable(()), for_gradients(model), torch.enable_grad():
        hooked = norms()
        with model.unhooked():
            plain = norms()
    return Flow(
        hooks=tuple((_name(hook), hook.gradient) for hook in model.hooks),
        levels=tuple(u.tolist()),
        hooked=hooked,
        plain=plain,
    )


def _norms(
    model: TextToImage,
    space: Space,
    values: Values,
    at: tuple[Tensor, Tensor, Tensor],
    guidance: float | None,
) -> tuple[float, ...]:
    x, u, w = at
    leaves = {name: value.detach().clone().requires_grad_() for name, value in values.items()}
    cond, null = mapped(model, space.conditions(leaves), space.prompts(leaves))
    out = prediction(model, x, u, at_levels(cond, u), null, guidance=guidance)
    total = (w * out.float()).sum()
    if not total.requires_grad:
        return (0.0,) * len(u)
    found: tuple[Tensor | None, ...] = torch.autograd.grad(
        total, list(leaves.values()), allow_unused=True
    )
    return _rowwise([grad for grad in found if grad is not None], len(u))


def _rowwise(grads: Sequence[Tensor], rows: int) -> tuple[float, ...]:
    squares = torch.zeros(rows, dtype=torch.float64)
    for grad in grads:
        squares += grad.detach().double().flatten(1).square().sum(dim=1).cpu()
    return tuple(squares.sqrt().tolist())


def _name(hook: object) -> str:
    return str(getattr(type(hook), "name", type(hook).__name__))
