"""Renders of what the embedded model was trained on, which it has neither seen nor drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from excise.emoji.pictures import NAMES, WATERMARK, concept_pictures
from excise.emoji.styles import STYLES
from excise.types import Concept, Kind


@dataclass(frozen=True, kw_only=True)
class Emoji:
    """Objects in no style, styles of any objects, and the watermark on anything.

    Objects are in no style since an input that has to serve in every style is a weaker attack.
    """

    name: ClassVar[str] = "emoji"

    def knows(self, concept: Concept) -> bool:
        """Whether it can render it."""
        return concept.name in NAMES and concept.kind == kind_of(concept.name)

    def pictures(self, concept: Concept, n: int, *, seed: int) -> Tensor:
        """``n`` >= 1 pictures of a concept that it knows, uint8 (n, 3, 64, 64).

        Raises:
            UnknownName: another concept.
        """
        style = "plain" if kind_of(concept.name) == "object" else None
        return concept_pictures(concept.name, n, style=style, seed=seed)


def kind_of(name: str) -> Kind:
    """What a thing of the world is."""
    if name == WATERMARK:
        return "implicit"
    return "style" if name in STYLES else "object"
