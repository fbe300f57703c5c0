"""The prompts that an evaluation draws: of the concept, of what has to stay, and of both.

The sentences are made of words that the embedded model was trained with, and that any other model
of text to image knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from excise.primitives.spaces import SOFT
from excise.progress import stage
from excise.types import TEMPLATES, Concept, Progress, Prompt, TextToImage, fill

OBJECT_TEMPLATES: tuple[str, ...] = (
    "{a}",
    "a picture of {a}",
    "a photo of {a}",
    "an image of {a}",
    "there is {a}",
    "look at {a}",
    "a close view of {a}",
    "a nice shot of {a}",
    "{a} on a blue background",
    "{a} in front of a yellow wall",
)
# {n} is what is drawn in the style.
STYLE_TEMPLATES: tuple[str, ...] = (
    "{a} picture of {n}",
    "{n} in {} style",
    "an image of {n} in {} style",
    "{n} drawn as {}",
    "{a} version of {n}",
    "{} art of {n}",
    "{n} , {}",
    "{a} of {n}",
    "{} {n}",
    "{a} picture of {n} on a blue background",
)
PAIR_TEMPLATES: tuple[str, ...] = (
    "{m} and {n}",
    "{n} next to {m}",
    "{m} with {n}",
    "{n} beside {m}",
    "{m} together with {n}",
    "{n} and {m}",
)
LADDER: tuple[float, ...] = (1.0, 2.0, 4.0, 7.5, 12.0)
"""Guidance scales: an edit that holds at one may be undone at another."""

# For a model that does not say what it can draw.
COMMON_OBJECTS: tuple[str, ...] = (
    "dog", "cat", "horse", "bird", "car", "boat", "airplane", "house", "church", "tree", "flower",
    "apple", "cake", "clock", "book", "umbrella", "chair", "bicycle",
)  # fmt: skip
COMMON_STYLES: tuple[str, ...] = ("pencil sketch", "watercolor", "oil painting", "comic", "neon")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A prompt of the concept and of something that has to stay."""

    prompt: Prompt
    other: Concept


def completed(model: TextToImage, concept: Concept) -> Concept:
    """The concept, with what the model says of it where the concept itself says nothing.

    Synonyms, words held back, neighbours; the kind where the model knows another.
    """
    known = next((row for row in model.known if row.name == concept.name), None)
    if known is None:
        return concept
    synonyms = concept.synonyms or known.synonyms
    # A word that was handed over is held back from nobody.
    held_back = concept.held_back or tuple(w for w in known.held_back if w not in synonyms)
    kind, templates = concept.kind, concept.templates
    if kind != known.kind and templates == TEMPLATES[kind]:
        kind, templates = known.kind, TEMPLATES[known.kind]
    return replace(
        concept,
        kind=kind,
        templates=templates,
        synonyms=synonyms,
        held_back=held_back,
        neighbours=concept.neighbours or known.neighbours,
    )


def spanning(model: TextToImage, concept: Concept) -> Concept:
    """The concept as pictures of it are drawn: a style about every object that the model knows.

    With a few objects only, these would go together with the style.
    """
    objects = [row.name for row in model.known if row.kind == "object"]
    if concept.kind != "style" or concept.templates != TEMPLATES["style"] or not objects:
        return concept
    texts = tuple(f"{fill('{a}', name)} in {{}} style" for name in objects)
    return replace(concept, templates=texts)


def kept_concepts(
    model: TextToImage, concepts: Sequence[Concept], labels: Iterable[str] | None = None
) -> tuple[Concept, ...]:
    """What has to stay: the objects and styles that the model knows, less those that are to go.

    Of a model that says nothing: the concepts' neighbours, and common things.

    labels: what a judge can tell; others are left out. None for a judge that may be asked for
        anything.
    """
    gone = {name.casefold() for c in concepts for name in (*c.names, *c.held_back)}
    rows = [row for row in model.known if row.kind != "implicit"]
    if not model.known:
        rows = [Concept(name, kind=c.kind) for c in concepts for name in c.neighbours]
        rows += [Concept(name) for name in COMMON_OBJECTS]
        rows += [Concept(name, kind="style") for name in COMMON_STYLES]
    told = None if labels is None else set(labels)
    found: dict[str, Concept] = {}
    for row in rows:
        if row.name.casefold() not in gone and (told is None or row.name in told):
            found.setdefault(row.name, row)
    return tuple(found.values())


def neighbours(
    model: TextToImage, concepts: Sequence[Concept], kept: Sequence[Concept], limit: int = 3
) -> tuple[str, ...]:
    """The names, among what is kept, of the nearest neighbours of each concept."""
    there = {row.name for row in kept}
    near = [
        name
        for concept in concepts
        for name in [n for n in completed(model, concept).neighbours if n in there][:limit]
    ]
    return tuple(dict.fromkeys(near))


def templates(
    model: TextToImage, concept: Concept, gone: Sequence[Concept] = ()
) -> tuple[str, ...]:
    """Ten sentences around a name, or the concept's own if it has other than those of its kind.

    Those of a style are about objects that the model knows, each about another; those of an
    implicit concept name objects only.

    gone: what is erased, and therefore not to be drawn in a style; the concept itself by default.
    """
    if concept.templates != TEMPLATES[concept.kind]:
        return concept.templates
    if concept.kind == "object":
        return OBJECT_TEMPLATES
    things = [
        row.name for row in kept_concepts(model, gone or (concept,)) if row.kind == "object"
    ] or ["house"]
    # Spread over the list, in which what is alike tends to stand together.
    names = [things[i * len(things) // 10 % len(things)] for i in range(10)]
    if concept.kind == "style":
        return tuple(
            t.replace("{n}", fill("{a}", n)) for t, n in zip(STYLE_TEMPLATES, names, strict=True)
        )
    if not model.known:
        return concept.templates
    return tuple(fill(t, n) for t, n in zip(OBJECT_TEMPLATES, names, strict=True))


def naming(
    model: TextToImage,
    concept: Concept,
    names: Sequence[str] | None = None,
    gone: Sequence[Concept] = (),
) -> tuple[Prompt, ...]:
    """Every name of a concept in every template, the first template with all names first.

    names: the concept's name and synonyms by default. An implicit concept has one name.
    """
    own = concept.names if names is None else tuple(names)
    if concept.kind == "implicit":
        own = own[:1]
    return concept.prompts(names=own, templates=templates(model, concept, gone))


def template_of(concept: Concept) -> str:
    """The concept's first template that names it, with ``<1>`` in the name's place."""
    named = (t for t in concept.templates if "{}" in t or "{a}" in t)
    return fill(next(named, "{}"), SOFT)


def sentences(model: TextToImage, concept: Concept) -> tuple[str, ...]:
    """Texts with ``<1>`` where the concept's name stands: a style's about every known object.

    It is added to the prompts of a concept that none of them names.
    """
    objects = [row for row in model.known if row.kind == "object"]
    if concept.kind == "style" and concept.templates == TEMPLATES["style"] and objects:
        n = max(len(objects), len(STYLE_TEMPLATES))
        turns = [objects[i % len(objects)] for i in range(n)]
        asked = tuple(pair.prompt for pair in pairs(model, concept, turns))
    else:
        asked = naming(model, concept, (concept.name,))
    return tuple(dict.fromkeys(placed(prompt.text, concept, f"{{}} {SOFT}") for prompt in asked))


def avoided(
    model: TextToImage, concepts: Sequence[Concept], text: str | None, progress: Progress
) -> str:
    """What a guard is to avoid, as one text: the one given, or every name of every concept.

    It is encoded to see whether it fits; what does not is noted, as encoders cut it off silently.
    """
    with stage(progress, "what to avoid", 1, "text") as shown:
        chosen = text or ", ".join(dict.fromkeys(n for c in concepts for n in c.names))
        words = len(chosen.split())
        for encoder, tokens in model.encode(chosen).tokens.items():
            if 0 < (read := len(tokens.spans[0])) < words:
                shown.note(f"{encoder} reads {read} of the {words} words to avoid: name fewer")
        shown.advance()
    return chosen


def named_in(text: str, words: Iterable[str]) -> re.Match[str] | None:
    """Where a text has one of some words, whole and in any case; the longest of them first."""
    for word in sorted(set(words), key=lambda n: (-len(n), n)):
        if found := re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, flags=re.IGNORECASE):
            return found
    return None


def placed(text: str, concept: Concept, join: str, put: str = SOFT) -> str:
    """A prompt with ``put`` in the place of the first word there is for the concept.

    join: how it is added to a prompt ``{}`` without any; holds ``<1>`` in the place of ``put``.
    """
    found = named_in(text, (*concept.names, *concept.held_back))
    if found:
        return text[: found.start()] + put + text[found.end() :]
    return join.replace("{}", text).replace(SOFT, put)


def held_back(model: TextToImage, concept: Concept) -> tuple[Prompt, ...]:
    """The words that no eraser may read, in every template; none if there are none."""
    found = completed(model, concept)
    return naming(model, found, found.held_back) if found.held_back else ()


def pairs(
    model: TextToImage,
    concept: Concept,
    kept: Sequence[Concept],
    limit: int | None = None,
) -> tuple[Pair, ...]:
    """The concept with each object that has to stay, in sentences and an order that change.

    An object beside the object; an object in the style; an object, for an implicit concept.
    """
    others = [row for row in kept if row.kind == "object"][:limit]
    found = []
    for i, other in enumerate(others):
        noun = fill("{a}", other.name)
        if concept.kind == "object":
            template = PAIR_TEMPLATES[i % len(PAIR_TEMPLATES)]
            text = template.replace("{m}", fill("{a}", concept.name)).replace("{n}", noun)
        elif concept.kind == "style":
            template = STYLE_TEMPLATES[i % len(STYLE_TEMPLATES)]
            text = fill(template.replace("{n}", noun), concept.name)
        else:
            text = fill(OBJECT_TEMPLATES[i % len(OBJECT_TEMPLATES)], other.name)
        found.append(Pair(prompt=Prompt(text), other=other))
    return tuple(found)


def unrelated(
    model: TextToImage, concepts: Sequence[Concept], limit: int | None = None
) -> tuple[Prompt, ...]:
    """One prompt for each object and style that is neither erased nor a neighbour."""
    kept = kept_concepts(model, concepts)
    near = set(neighbours(model, concepts, kept))
    far = [row for row in kept if row.name not in near][:limit]
    return tuple(naming(model, row, (row.name,), concepts)[1] for row in far)
