"""LEACE: take out of the text embeddings what tells a concept's prompts from others, linearly.

Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form" (arXiv:2306.03819).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from excise.errors import BadSetting, UserError
from excise.hooks.base import Gradient, Hook
from excise.hooks.places import Place
from excise.types import Condition, Prompt, TextToImage


@dataclass(frozen=True, eq=False, kw_only=True)
class LEACE(Hook):
    """r(x) = x - strength * L R (x - mean), on every text embedding x (section 4).

    L R = W^+ P W, the paper's oblique projection, in its two factors of rank at most the number of
    concepts. At strength 1 it is idempotent. Both the condition and the unconditional are mapped,
    so that neither can draw the concept at whatever guidance; an unconditional of zeros is no text
    and stays. It is given no text and needs none: a bare conditioning is mapped alike.

    mean (d,), left (d, k), right (k, d): by place, see `excise.hooks.places`.
    """

    name: ClassVar[str] = "leace"
    gradient: ClassVar[Gradient] = "differentiable"

    mean: Mapping[str, Tensor]
    left: Mapping[str, Tensor]
    right: Mapping[str, Tensor]
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.mean or not self.mean.keys() == self.left.keys() == self.right.keys():
            raise BadSetting(
                f"{self.name}: expected mean, left and right at the same places, at least one, got "
                f"{sorted(self.mean)}, {sorted(self.left)} and {sorted(self.right)}"
            )
        for key, mean in self.mean.items():
            shapes = tuple(mean.shape), tuple(self.left[key].shape), tuple(self.right[key].shape)
            if (
                len(shapes[0]) != 1
                or shapes[1] != (*shapes[0], *shapes[2][:-1])
                or (shapes[2][-1:] != shapes[0])
            ):
                raise BadSetting(
                    f"{self.name}: expected mean (d,), left (d, k) and right (k, d) at {key}, got "
                    f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
                )

    def scaled(self, factor: float) -> LEACE:
        """At ``factor`` times the strength."""
        return replace(self, strength=self.strength * factor)

    def condition(
        self,
        model: TextToImage,
        prompts: tuple[Prompt, ...],
        cond: Condition,
        null: Condition | None,
    ) -> tuple[Condition, Condition | None]:
        """Map both."""
        return self._mapped(cond), None if null is None else self._mapped(null)

    def _mapped(self, cond: Condition) -> Condition:
        for key in self.mean:
            place = Place.parse(key)
            names = place.named(cond)
            if not names:
                raise UserError(
                    f"expected a model whose conditions hold {place.feature!r}, as those do that "
                    f"{self.name} was fitted to, got {sorted(cond.tensors)}; was it made for "
                    "another model?"
                )
            for name in names:
                value = cond.tensors[name]
                text = value.detach().flatten(1).ne(0).any(dim=1)  # (n,), false for zeros
                text = text.view(-1, *[1] * (value.dim() - 1))
                new = place.put(value, self.erased(key, place.take(value)))
                cond = cond.replace(**{name: torch.where(text, new, value)})
        return cond

    def erased(self, key: str, x: Tensor) -> Tensor:
        """The map at a place, of x (..., d)."""
        mean, left, right = self.mean[key], self.left[key], self.right[key]
        if x.shape[-1] != len(mean):
            raise UserError(
                f"expected embeddings of width {len(mean)} at {key}, as {self.name} was fitted to, "
                f"got {x.shape[-1]}; was it made for another model?"
            )
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        apart = (wide - mean.to(wide)) @ right.to(wide).mT  # (..., d) -> (..., k)
        return (wide - self.strength * apart @ left.to(wide).mT).to(x.dtype)  # (..., k) -> (..., d)
