"""What closed forms are asked for in words: which prompts are read as which, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from excise.errors import Unsupported
from excise.primitives.prompts import kept_concepts
from excise.primitives.readers import Mention
from excise.types import Concept, Kind, TextToImage, fill

Retain = Literal["kept", "empty", "none"]
RETAINED: Mapping[Retain, str] = {
    "kept": "all that the model is known to draw, and the empty prompt",
    "empty": "the empty prompt alone",
    "none": "nothing",
}
"""What is preserved."""

GUIDES: Mapping[Kind, str] = {"object": "", "style": "art", "implicit": ""}
"""What is read in a concept's place where neither it nor the method says."""
GUIDED = f'the concept\'s anchor, else nothing for an object and "{GUIDES["style"]}" for a style'

PARAPHRASES: Mapping[Kind, tuple[str, ...]] = {
    "object": ("image of {}", "photo of {}", "portrait of {}", "picture of {}", "painting of {}"),
    "style": ("painting by {}", "art by {}", "artwork by {}", "picture by {}", "style of {}"),
    "implicit": (),
}
"""The sentences that the code of UCE (arXiv:2308.14761) adds on request."""

Swap = tuple[Mention, Mention]


def swaps(
    concepts: Sequence[Concept],
    method: str,
    *,
    guide: str | None = None,
    paraphrases: bool = False,
    guides: Mapping[Kind, str] = GUIDES,
) -> tuple[Swap, ...]:
    """Each name of each concept with its guide: the given one, else its anchor, else its kind's.

    Raises:
        Unsupported: a concept that no prompt names; `method` is whom the message is about.
    """
    found = []
    for concept in concepts:
        if concept.kind == "implicit":
            raise Unsupported(
                f"{method}: expected concepts that prompts name, got {concept.name!r}, which is "
                "implicit; closed forms change what words mean, so take a method that trains"
            )
        chosen = guide if guide is not None else concept.anchor
        target = Mention(guides[concept.kind] if chosen is None else chosen)
        found += [(source, target) for source in mentions(concept, paraphrases)]
    return tuple(found)


def mentions(concept: Concept, paraphrases: bool = False) -> tuple[Mention, ...]:
    """Each name of a concept alone, and in the sentences of its kind."""
    sentences = ("{}", *(PARAPHRASES[concept.kind] if paraphrases else ()))
    return tuple(Mention(fill(s, name), name) for s in sentences for name in concept.names)


def retained(
    model: TextToImage, concepts: Sequence[Concept], retain: Retain, paraphrases: bool = False
) -> tuple[Mention, ...]:
    """What is to be read as before; never a prompt that names a concept that is to go."""
    if retain == "none":
        return ()
    empty = (Mention(""),)
    if retain == "empty":
        return empty
    gone = [name for concept in concepts for name in (*concept.names, *concept.held_back)]
    rows = [m for row in kept_concepts(model, concepts) for m in mentions(row, paraphrases)]
    found = [m for m in rows if not any(names(m.text, name) for name in gone)]
    return (*empty, *dict.fromkeys(found))


def names(text: str, phrase: str) -> bool:
    """Do the words of a phrase stand next to each other in a text, in any case?"""
    return f" {' '.join(phrase.casefold().split())} " in f" {' '.join(text.casefold().split())} "
