"""A judge to whom every picture shows a dog: with it, any strength will do."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from excise.types import Concept, Score


class Dogs:
    """Knows two things and sees one."""

    labels = ("cat", "dog", "nothing")
    things = ("cat", "dog")
    name = title = "dogs"
    digest = "dogs/1"

    @property
    def thresholds(self) -> Mapping[str, float]:
        return dict.fromkeys(self.labels, 0.5)

    def scores(self, pictures: Tensor) -> Tensor:
        return torch.tensor([[0.1, 0.9, 0.1]]).repeat(len(pictures), 1)

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        label = concept if isinstance(concept, str) else concept.name
        values = self.scores(pictures)[:, self.labels.index(label)]
        return Score(concept=label, judge=self.name, values=values, threshold=0.5)
