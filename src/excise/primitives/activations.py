"""What layers read while a model draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadSetting
from excise.progress import SILENT, Progress, stage
from excise.types import Call, Hook, Request, TextToImage

Norms = dict[int, dict[str, Tensor]]
"""By step, and by module, the norm (i,) of each input feature."""


@torch.no_grad()
def column_norms(
    model: TextToImage,
    request: Request,
    first: int,
    modules: tuple[str, ...],
    *,
    progress: Progress | None = None,
) -> Norms:
    """The norms of what linear layers read at the ``first`` steps of drawing a request.

    Each token's features (i,) are scaled to length one, and a feature's norm is taken over the
    tokens of all pictures, of the conditional and the unconditional half alike. Later steps are not
    walked.

    modules: canonical names. first: at most the request's steps less one.
    """
    if first < 1 or (request.steps is not None and first >= request.steps):
        raise BadSetting(f"expected 1 <= first < {request.steps} steps, got {first}")
    with stage(progress or SILENT, "what layers read", first) as told:
        reader = _Reader(wrapped=modules, squares={}, told=told)
        with model.hooked([reader]):
            model.partial(request, first)
    return {
        step: {name: value.sqrt() for name, value in sorted(by.items())}
        for step, by in sorted(reader.squares.items())
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class _Reader(Hook):
    """Adds up squares; it stands around a walk of its own only, so it may remember."""

    wrapped: tuple[str, ...]
    squares: dict[int, dict[str, Tensor]]
    told: Progress

    @property
    def modules(self) -> tuple[str, ...]:
        return self.wrapped

    def module(
        self,
        call: Call,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        rows = F.normalize(args[0].detach().float().flatten(0, -2), dim=-1)  # (tokens, i)
        step = 0 if call.step is None else call.step.index
        if step not in self.squares:
            self.squares[step] = {}
            self.told.advance()
        by = self.squares[step]
        new = rows.square().sum(dim=0).cpu()  # (i,)
        by[call.module] = by[call.module] + new if call.module in by else new
        return forward(*args, **kwargs)
