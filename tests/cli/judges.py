"""Judges that need no network: they know two things, and differ in what they see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from excise.types import Concept, Score


class Two(ABC):
    """What both are but for their scores."""

    name: ClassVar[str]
    title: ClassVar[str]
    digest: ClassVar[str]
    labels = ("cat", "dog", "nothing")
    things = ("cat", "dog")

    @property
    def thresholds(self) -> Mapping[str, float]:
        return dict.fromkeys(self.labels, 0.5)

    @abstractmethod
    def scores(self, pictures: Tensor) -> Tensor:
        """Of each label, (n, 3)."""

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        label = concept if isinstance(concept, str) else concept.name
        values = self.scores(pictures)[:, self.labels.index(label)]
        return Score(concept=label, judge=self.name, values=values, threshold=0.5)


class Dogs(Two):
    """To whom every picture shows a dog: with it, any strength will do."""

    name = title = "dogs"
    digest = "dogs/1"

    def scores(self, pictures: Tensor) -> Tensor:
        return torch.tensor([[0.1, 0.9, 0.1]]).repeat(len(pictures), 1)


class Shades(Two):
    """To whom bright pictures show a cat, dark ones a dog: a report tells which were drawn."""

    name = title = "shades"
    digest = "shades/1"

    def scores(self, pictures: Tensor) -> Tensor:
        bright = pictures.float().flatten(1).mean(dim=1)
        bright = bright / 255 if pictures.dtype == torch.uint8 else bright
        cat = torch.sigmoid(50 * (bright - 0.5))
        return torch.stack([cat, 1 - cat, torch.full_like(cat, 0.1)], dim=1)
