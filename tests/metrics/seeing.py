"""A judge with features, and the model of two things."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from tests import panels
from torch import Tensor

CAT, ruined = panels.CAT, panels.ruined


class Seeing(panels.Near):
    """Describes a picture by its colours in sixteen places."""

    digest = "seeing/1"

    def features(self, pictures: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(pictures.float() / 255, 4).flatten(1)


class Floats(torch.nn.Module):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.float() / 255


@cache
def model() -> Any:
    return panels.model()


@cache
def blind() -> panels.Near:
    """The judge without features."""
    return panels.near(model())


@cache
def judge() -> Seeing:
    return Seeing(blind().references, blind().reach, [])
