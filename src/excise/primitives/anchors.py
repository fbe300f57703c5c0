"""What takes a concept's place, where a method trains towards something else."""

from __future__ import annotations

from collections.abc import Sequence

from excise.errors import BadConcept
from excise.primitives.prompts import kept_concepts, neighbours
from excise.types import Concept, Prompt, TextToImage


def stand_in(model: TextToImage, concept: Concept, gone: Sequence[Concept] = ()) -> str:
    """The name that takes a concept's place.

    Its anchor; or its nearest neighbour that stays; or the first thing of its kind that stays.

    gone: all that is erased; the concept itself by default.

    Raises:
        BadConcept: an implicit concept without an anchor: nothing in its prompts can be replaced.
    """
    if concept.anchor is not None:
        return concept.anchor
    if concept.kind == "implicit":
        raise BadConcept(
            f"expected an anchor for the implicit concept {concept.name!r}, got none; say in other "
            "words what may be drawn where it is now"
        )
    kept = [row for row in kept_concepts(model, gone or (concept,)) if row.kind == concept.kind]
    near = neighbours(model, (concept,), kept, 1)
    if not near and not kept:
        raise BadConcept(f"expected an anchor for {concept.name!r}, got none; name one")
    return near[0] if near else kept[0].name


def counterparts(concept: Concept, other: str) -> dict[Prompt, Prompt]:
    """Each of a concept's prompts, to the same sentence with another name in it."""
    others = concept.prompts(names=[other] * len(concept.names))
    return dict(zip(concept.prompts(), others, strict=True))
