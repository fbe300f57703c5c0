"""A judge that goes by how bright a picture is, so that a report tells which were drawn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from excise.types import Concept, Score


class Shades:
    """Bright pictures show a cat, dark ones a dog."""

    labels = ("cat", "dog", "nothing")
    things = ("cat", "dog")
    name = title = "shades"
    digest = "shades/1"

    @property
    def thresholds(self) -> Mapping[str, float]:
        return dict.fromkeys(self.labels, 0.5)

    def scores(self, pictures: Tensor) -> Tensor:
        bright = pictures.float().flatten(1).mean(dim=1)
        bright = bright / 255 if pictures.dtype == torch.uint8 else bright
        cat = torch.sigmoid(50 * (bright - 0.5))
        return torch.stack([cat, 1 - cat, torch.full_like(cat, 0.1)], dim=1)

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        label = concept if isinstance(concept, str) else concept.name
        values = self.scores(pictures)[:, self.labels.index(label)]
        return Score(concept=label, judge=self.name, values=values, threshold=0.5)
