"""A conditioning that changes from step to step: one for each band of noise levels.

The bands travel in the condition, as a tensor of their own beside ``hidden``, so that they are cut
into batches, saved and replayed with it; a hook, which holds nothing, picks one at each step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from excise.types import Condition, Denoise, Hook, State, Step, TextToImage

PREFIX = "bands/"


def banded(cond: Condition, values: Mapping[str, Tensor]) -> Condition:
    """A condition whose tensors change with the level: values (n, bands, ...) by tensor's name.

    Band j holds the levels u in [j / bands, (j + 1) / bands), and the last one u = 1 too. Under
    its own name each tensor has the middle band, for whoever knows nothing of bands.
    """
    middle = {name: value[:, value.shape[1] // 2] for name, value in values.items()}
    return cond.replace(**middle, **{PREFIX + name: value for name, value in values.items()})


def is_banded(cond: Condition) -> bool:
    """Does the condition hold bands?"""
    return any(name.startswith(PREFIX) for name in cond.tensors)


def at_levels(cond: Condition, u: Tensor, rows: Tensor | None = None) -> Condition:
    """The condition, without bands, at levels u (n,): its n rows, or the rows given, int64 (n,)."""
    if not is_banded(cond):
        return cond if rows is None else cond[rows]
    rows = torch.arange(len(cond)) if rows is None else rows
    tensors: dict[str, Tensor] = {}
    for name, value in cond.tensors.items():
        if name.startswith(PREFIX):
            bands = value.shape[1]
            index = (u.to(value.device) * bands).long().clamp(0, bands - 1)  # (n,)
            picked = value[rows.to(value.device), index]  # (K, bands, ...) -> (n, ...)
            tensors[name.removeprefix(PREFIX)] = picked
        elif PREFIX + name not in cond.tensors:
            tensors[name] = value[rows.to(value.device)]
    tokens = {name: cut[rows] for name, cut in cond.tokens.items()}
    return Condition(tensors=tensors, tokens=tokens)


@dataclass(frozen=True)
class Bands(Hook):
    """Picks each step's conditioning from a banded condition: the ``edit`` of its request."""

    @property
    def digest(self) -> str:
        """The same for all: what differs is in the condition."""
        return hashlib.sha256(b"excise bands 1").hexdigest()

    def applied(self, model: TextToImage) -> AbstractContextManager[None]:
        """The model with this hook outermost."""
        return model.hooked((self,), key=self.digest)

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
        """One guided step with the band of its level."""
        u = torch.full((len(cond),), step.u)
        out, inner = denoise(x, step, at_levels(cond, u), null, state.inner)
        return out, State(own=state.own, inner=inner)


BANDS = Bands()
