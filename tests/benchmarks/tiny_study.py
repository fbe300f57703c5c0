"""A study of a tiny model that was taught nothing, and a judge that is quick to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from study import Study
from tests import tiny
from torch import Tensor

from excise.erasers.task_vector import TaskVector
from excise.models.load import of_pipeline
from excise.types import Concept, Score

TEMPLATES = ("{a}", "a photo of {a}")
KNOWN = tuple(Concept(name, templates=TEMPLATES) for name in ("cat", "dog", "tree"))
SMALL = {**TaskVector.smallest, "strength": None, "pictures": 5, "contexts": ("{}", "{} x")}


@dataclass(frozen=True, kw_only=True)
class Bright:
    """A panel to which bright pictures show a cat, dark ones a dog."""

    digest: str = "bright"
    name: str = "bright"
    title: str = "bright"
    labels = ("cat", "dog", "tree", "nothing")
    things = ("cat", "dog", "tree")

    @property
    def thresholds(self) -> Mapping[str, float]:
        return dict.fromkeys(self.labels, 0.5)

    def scores(self, pictures: Tensor) -> Tensor:
        x = pictures.float() / (255 if pictures.dtype == torch.uint8 else 1)
        light = x.mean(dim=(1, 2, 3))
        return torch.stack([light, 1 - light, light, 0 * light], dim=1)

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        name = concept if isinstance(concept, str) else concept.name
        values = self.scores(pictures)[:, self.labels.index(name)]
        return Score(concept=name, judge=self.title, values=values, threshold=0.5)


def model() -> Any:
    """Knows three things by name."""
    found = of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 2, "guidance": 1.0})
    found.known = KNOWN
    return found


class Tiny(Study):
    """Its concepts have no renders."""

    def __init__(self, work: Path, judge: Any = None, of: Any = None) -> None:
        super().__init__(work, model=of or model(), judge=judge or Bright())

    def concept(self, name: str, *, shown: bool) -> Concept:
        return next(one for one in KNOWN if one.name == name)
