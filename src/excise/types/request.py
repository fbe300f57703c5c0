"""A Request is all that is needed to draw the same pictures again."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from excise.errors import UserError
from excise.types import codec
from excise.types.condition import Condition
from excise.types.values import Prompt, digest

if TYPE_CHECKING:
    from excise.types.protocols import EditLike

Text = str | Prompt | tuple[str | Prompt, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Term:
    """A further pull on the guided prediction: ``weight`` * (prediction(term) - prediction(null)).

    A negative weight pushes away (composable diffusion, Liu et al. 2022, arXiv:2206.01714, eq. 11).
    prompts: one, or one a picture.
    """

    prompts: tuple[Prompt, ...]
    weight: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", Prompt.of(self.prompts))


@dataclass(frozen=True, eq=False, kw_only=True)
class Start:
    """Where drawing starts, if not from noise alone.

    latents: (n or 1, c, h, w) clean latents, or
    pictures: (n or 1, 3, h, w) in [0, 1], which the model encodes; exactly one of the two.
    level: u in (0, 1], how much noise is put on them; 1 keeps nothing of them outside the mask.
    mask: (n or 1, 1, h, w) in [0, 1] at the size of the pictures: 1 is drawn afresh, 0 is kept.
    """

    latents: Tensor | None = None
    pictures: Tensor | None = None
    level: float = 0.8
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.latents is None) == (self.pictures is None):
            raise UserError("expected a start with either latents or pictures")
        if not 0 < self.level <= 1:
            raise UserError(f"expected a start's noise level in (0, 1], got {self.level}")


@dataclass(frozen=True)
class Defaults:
    """What a request leaves to the model."""

    steps: int
    guidance: float
    scheduler: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """What to draw.

    prompts: one a picture, or one for all pictures. Texts are accepted and become prompts.
    condition: rows to use in the place of encoded prompts (one a picture, or one for all);
        prompts beside it are a note on where it came from and what hooks at ``condition`` see.
    negative: prompts in the place of the model's own unconditional; None keeps the model's.
    seeds: one a picture; the picture's noise depends on its seed alone.
    steps, guidance, scheduler: None leaves them to the model's own defaults, which
        ``Samples.request`` then shows filled in.
    terms: composition. start: another start than noise. noise_scale: factor on the initial noise.
    eta: of DDIM (Song et al. 2021, arXiv:2010.02502, eq. 16), how much noise is added on the way:
        0 is none, 1 as much as DDPM's, and more may be asked for; None leaves it to the scheduler.
        eta_scale: a further factor on that noise alone.
    size: (height, width) in pixels; None is the model's own.
    edit: an edit that is applied while drawing, on top of those already applied.
    """

    prompts: tuple[Prompt, ...] = ()
    condition: Condition | None = None
    negative: tuple[Prompt, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    terms: tuple[Term, ...] = ()
    start: Start | None = None
    noise_scale: float = 1.0
    eta: float | None = None
    eta_scale: float = 1.0
    size: tuple[int, int] | None = None
    edit: EditLike | None = field(default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", Prompt.of(self.prompts))
        if self.negative is not None:
            object.__setattr__(self, "negative", Prompt.of(self.negative))
        object.__setattr__(self, "seeds", tuple(int(seed) for seed in self.seeds))
        object.__setattr__(self, "terms", tuple(self.terms))
        n = len(self.seeds)
        if n == 0:
            raise UserError("expected at least one seed, got none; give one seed a picture")
        if not self.prompts and self.condition is None:
            raise UserError("expected prompts or a condition, got neither")
        counts = {"prompts": len(self.prompts) or 1, "negative": len(self.negative or (0,))}
        counts |= {f"terms[{i}].prompts": len(t.prompts) for i, t in enumerate(self.terms)}
        if self.condition is not None:
            counts["condition"] = len(self.condition)
        wrong = {name: count for name, count in counts.items() if count not in (1, n)}
        if wrong:
            raise UserError(f"expected 1 or {n} rows, as many as seeds, got {wrong}")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"expected steps >= 1, got {self.steps}")
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise UserError(f"expected a finite guidance, got {self.guidance}")
        if not (0 <= (self.eta or 0.0) < math.inf and 0 <= self.eta_scale < math.inf):
            raise UserError(f"expected eta and eta_scale >= 0, got {self.eta} and {self.eta_scale}")

    def __len__(self) -> int:
        return len(self.seeds)

    def on(self, *seeds: int) -> Request:
        """The same request on other seeds. With a row a picture, their number must stay."""
        return replace(self, seeds=seeds)

    @property
    def holds_tensors(self) -> bool:
        """Does ``to_json`` need somewhere to put tensors?"""
        soft = any(prompt.soft for prompt in self.all_prompts)
        return soft or self.condition is not None or self.start is not None

    @property
    def all_prompts(self) -> tuple[Prompt, ...]:
        """The prompts, the negative ones, then those of the terms."""
        terms = tuple(prompt for term in self.terms for prompt in term.prompts)
        return self.prompts + (self.negative or ()) + terms

    def to_json(self, tensors: MutableMapping[str, Tensor] | None = None) -> dict[str, Any]:
        """The request as JSON values.

        Tensors are put into ``tensors`` under a name made from their bytes, and the JSON holds
        that name. An edit is named by its digest. Raises UserError if the request holds tensors
        and ``tensors`` is None.
        """
        return codec.request_to_json(self, tensors)

    @staticmethod
    def from_json(
        data: Mapping[str, Any],
        tensors: Mapping[str, Tensor] | None = None,
        edits: Mapping[str, EditLike] | None = None,
    ) -> Request:
        """The request that ``to_json`` wrote, its tensors and edit looked up by name."""
        return codec.request_from_json(data, tensors or {}, edits or {})


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """Pictures, with the request that draws them again.

    pictures: uint8 (n, 3, h, w), or floating point in [0, 1].
    request: with the model's defaults filled in.
    latents: the clean latents (n, c, h', w') that the pictures were decoded from, if kept.
    """

    pictures: Tensor
    request: Request
    latents: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def float(self) -> Tensor:
        """float32 (n, 3, h, w) in [0, 1]."""
        if self.pictures.dtype == torch.uint8:
            return self.pictures.to(torch.float32) / 255
        return self.pictures.to(torch.float32)

    def uint8(self) -> Tensor:
        """uint8 (n, 3, h, w)."""
        if self.pictures.dtype == torch.uint8:
            return self.pictures
        return (self.pictures.detach().clamp(0, 1) * 255).round().to(torch.uint8)

    @property
    def digest(self) -> str:
        """SHA-256 of the pictures as uint8."""
        return digest(self.uint8())
