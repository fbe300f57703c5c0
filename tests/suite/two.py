"""A judge with several labels for the tiny model of two things, and the concept that goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import torch
from tests import trained
from torch import Tensor

from excise.store import hash_json
from excise.types import Concept, Score

TEMPLATES = ("{a}", "a photo of {a}", "a picture of {a}")
CAT = Concept("cat", templates=TEMPLATES, neighbours=("dog",))
DOG = Concept("dog", templates=TEMPLATES)


@cache
def model() -> Any:
    """A copy of the model of the two things, which says that it knows them."""
    found = trained.world().model.copied()
    found.known = (CAT, DOG)  # type: ignore[misc]
    return found


@cache
def means() -> Tensor:
    """(2, 3, h, w): the mean cat and the mean dog."""
    world = trained.world()
    with torch.no_grad():
        return torch.cat(
            [world.model.decode(world.latents[n]).mean(0)[None] for n in ("cat", "dog")]
        )


@dataclass(frozen=True, kw_only=True)
class Two:
    """Says what a picture is nearer to, if it is near enough to either."""

    name: str = "two"
    title: str = "two"
    sharp: float = 4.0
    far: float = 0.8

    labels = ("cat", "dog", "nothing")
    things = ("cat", "dog")

    @cached_property
    def digest(self) -> str:
        return hash_json([self.title, self.sharp, self.far])

    @property
    def thresholds(self) -> Mapping[str, float]:
        return dict.fromkeys(self.labels, 0.5)

    def scores(self, pictures: Tensor) -> Tensor:
        x = pictures.float()
        x = x / 255 if pictures.dtype == torch.uint8 else x
        gap = (x[:, None] - means()).flatten(2).norm(dim=2)  # (n, 2)
        apart = (means()[0] - means()[1]).norm()
        which = torch.softmax(-self.sharp * gap / apart * 10, dim=1)
        near = torch.sigmoid(20 * (self.far - gap.amin(dim=1) / apart))
        return torch.cat([which * near[:, None], 1 - near[:, None]], dim=1)

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        name = concept if isinstance(concept, str) else concept.name
        values = self.scores(pictures)[:, self.labels.index(name)]
        return Score(concept=name, judge=self.title, values=values, threshold=0.5)


AUDITOR = replace(Two(), name="auditor", title="auditor", sharp=2.0)
