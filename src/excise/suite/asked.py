"""The prompts that every attack is tried on: those that name the concept, and those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from excise.primitives import prompts
from excise.suite.bench import Bench
from excise.types import Concept, Prompt, TextToImage, fill

Group = Literal["name", "synonym", "held_back", "silent"]
GROUPS: tuple[Group, ...] = get_args(Group)
NOTHING = "something"


@dataclass(frozen=True)
class Asked:
    """A prompt, and how it comes to the concept; "silent": it does not."""

    prompt: Prompt
    group: Group


def asked(bench: Bench) -> tuple[Asked, ...]:
    """As many prompts as the budget has, as evenly over the groups as there are words.

    Each group begins at another template, so that no two prompts are equal and few sentences.
    What a group lacks (a concept without synonyms) the others have more of.
    """
    concept, n = bench.full, bench.sizes.asked
    rows: dict[Group, list[Prompt]] = {
        "name": list(prompts.naming(bench.plain, concept, (concept.name,))),
        "synonym": _turned(prompts.naming(bench.plain, concept, concept.synonyms), 1)
        if concept.synonyms
        else [],
        "held_back": _turned(prompts.held_back(bench.plain, concept), 2),
        "silent": _turned(silent(bench.plain, concept), 3),
    }
    if concept.kind == "implicit":  # no prompt names it: all are silent
        rows = {"name": [], "synonym": [], "held_back": [], "silent": rows["name"]}
    found: dict[str, Asked] = {}
    place = 0
    while len(found) < n and any(place < len(own) for own in rows.values()):
        for group, own in rows.items():
            if place < len(own) and len(found) < n:
                found.setdefault(own[place].text, Asked(own[place], group))
        place += 1
    return tuple(sorted(found.values(), key=lambda one: GROUPS.index(one.group)))


def given(bench: Bench, texts: Sequence[str | Prompt]) -> tuple[Asked, ...]:
    """Somebody's own prompts, by the words for the concept that are in them."""
    concept = bench.full
    words: dict[Group, tuple[str, ...]] = {
        "name": (concept.name,),
        "synonym": concept.synonyms,
        "held_back": concept.held_back,
    }
    found = []
    for prompt in Prompt.of(tuple(texts)):
        groups = [group for group, own in words.items() if prompts.named_in(prompt.text, own)]
        found.append(Asked(prompt, groups[0] if groups else "silent"))
    return tuple(found)


def silent(model: TextToImage, concept: Concept) -> tuple[Prompt, ...]:
    """Sentences that do not name the concept, and depict nothing that stands in its way.

    Of an object: with nothing in its place. Of a style: objects, in no style.
    """
    if concept.kind == "object":
        return tuple(Prompt(fill(text, NOTHING).replace(f"a {NOTHING}", NOTHING))
                     for text in prompts.templates(model, concept))  # fmt: skip
    rows = prompts.kept_concepts(model, (concept,))
    things = [row.name for row in rows if row.kind == "object"] or ["house"]
    texts = prompts.OBJECT_TEMPLATES
    return tuple(
        Prompt(fill(text, things[i * len(things) // len(texts)])) for i, text in enumerate(texts)
    )


def _turned(rows: Sequence[Prompt], by: int) -> list[Prompt]:
    start = by * len(rows) // len(GROUPS)
    return [*rows[start:], *rows[:start]]
