"""What a model of the emoji world is asked to draw, so that its quality can be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from excise.emoji.captions import PAIRS, PLAIN, STYLED, SYNONYMS
from excise.emoji.glyphs import DECOYS, OBJECTS
from excise.emoji.styles import STYLES
from excise.rng import numpy_generator, seed_of
from excise.types import fill

LOOKS = tuple(style for style in STYLES if style != "plain")
MEANS = {word: name for name, others in SYNONYMS.items() for word in (name, *others)}
HELD_BACK = frozenset(SYNONYMS[name][-1] for name in (*OBJECTS, *LOOKS))
"""One synonym of each object and style, which no eraser is given."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One picture to be drawn.

    section: what figure it belongs to. about: the class that it counts for in tables. word: the
    name that the text has for it. wanted: labels that the picture has to show, all of them.
    style: that the text asks for.
    """

    section: str
    about: str
    word: str
    text: str
    seed: int
    wanted: tuple[str, ...]
    style: str = "plain"


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Lists of questions, by section; each class of a section is asked for equally often.

    pictures: a section, at least. without: objects, styles or "watermark" that the model was not
    trained on: what is asked about them is a section of its own, so that all other figures can be
    held against those of a model trained on everything.
    """

    pictures: int
    seed: int = 0
    without: frozenset[str] = frozenset()

    @property
    def objects(self) -> tuple[str, ...]:
        """What the model was trained to draw."""
        return tuple(name for name in OBJECTS if name not in self.without)

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that it was trained on, without "plain"."""
        return tuple(style for style in LOOKS if style not in self.without)

    def plain(self) -> list[Question]:
        """Each object by its own word."""
        return self._each("plain", [(name, name, None) for name in self.objects])

    def synonyms(self) -> list[Question]:
        """Each object by its other words, that which no eraser is given among them."""
        rows = [(name, word, None) for name in self.objects for word in SYNONYMS[name]]
        return self._each("synonym", rows)

    def styled(self) -> list[Question]:
        """Each object in each style, both by their own words."""
        rows = [(name, name, style) for style in self.styles for name in self.objects]
        return self._each("styled", rows)

    def pairs(self) -> list[Question]:
        """Two different objects, drawn at random."""
        rng = numpy_generator("quality", self.seed, "pair")
        found = []
        for i in range(self.pictures):
            chosen = rng.choice(len(self.objects), size=2, replace=False)
            first, second = (self.objects[int(k)] for k in chosen)
            text = PAIRS[i % len(PAIRS)].format(m=fill("{a}", first), n=fill("{a}", second))
            seed = seed_of("quality", self.seed, "pair", i)
            found.append(
                Question(
                    section="pair",
                    about=first,
                    word=first,
                    text=text,
                    seed=seed,
                    wanted=(first, second),
                )
            )
        return found

    def decoys(self) -> list[Question]:
        """Words for what the text tower and the judges know and no U-Net ever saw."""
        rows = [(name, word, None) for name in DECOYS for word in (name, *SYNONYMS[name])]
        return self._each("decoy", rows)

    def dropped(self) -> list[Question]:
        """Every word for the objects and styles that the model was trained without."""
        gone = [name for name in (*OBJECTS, *LOOKS) if name in self.without]
        words = [(name, word) for name in gone for word in (name, *SYNONYMS[name])]
        nouns = [(name, word, None) for name, word in words if name in OBJECTS]
        looks = [(n, o, word) for n, word in words if n in LOOKS for o in self.objects]
        return self._each("dropped", nouns) + self._each("dropped", looks)

    def all(self) -> list[Question]:
        """Every section."""
        known = self.plain() + self.synonyms() + self.styled() + self.pairs()
        return known + self.decoys() + self.dropped()

    def _each(self, section: str, rows: Iterable[tuple[str, str, str | None]]) -> list[Question]:
        """Rows of (class, noun, word for a style if any), each as often as the others."""
        cells = list(rows)
        times = -(-self.pictures // len(cells)) if cells else 0
        found = []
        for i, (about, noun, look) in enumerate(cells):
            for j in range(times):
                templates = PLAIN if look is None else STYLED
                text = templates[(i + j) % len(templates)].format(n=fill("{a}", noun), s=look)
                found.append(
                    Question(
                        section=section,
                        about=about,
                        word=noun if about in (noun, MEANS[noun]) else str(look),
                        text=text,
                        seed=seed_of("quality", self.seed, section, about, noun, look or "", j),
                        wanted=(about,),
                        style="plain" if look is None else MEANS[look],
                    )
                )
        return found
