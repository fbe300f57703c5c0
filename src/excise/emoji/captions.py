"""Captions of scenes: synonyms, templates, words that mean nothing, and misspellings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from excise.emoji.world import BACKGROUNDS, Scene

SYNONYMS: dict[str, tuple[str, ...]] = {
    "cat": ("kitten", "feline", "kitty"),
    "dog": ("puppy", "hound", "canine"),
    "horse": ("pony", "stallion", "steed"),
    "bird": ("birdie", "songbird", "fowl"),
    "fish": ("trout", "goldfish", "minnow"),
    "car": ("automobile", "sedan", "motorcar"),
    "truck": ("lorry", "hauler", "pickup"),
    "boat": ("ship", "vessel", "watercraft"),
    "airplane": ("plane", "jet", "aircraft"),
    "house": ("home", "cottage", "dwelling"),
    "church": ("chapel", "cathedral", "kirk"),
    "tree": ("sapling", "timber", "conifer"),
    "flower": ("blossom", "bloom", "posy"),
    "apple": ("pippin", "crabapple", "codlin"),
    "cake": ("gateau", "pastry", "dessert"),
    "star": ("starlet", "pentagram", "nova"),
    "clock": ("timepiece", "timer", "chronometer"),
    "ball": ("football", "sphere", "orb"),
    "book": ("novel", "tome", "volume"),
    "umbrella": ("parasol", "brolly", "sunshade"),
    "shoe": ("sneaker", "boot", "footwear"),
    "key": ("latchkey", "passkey", "opener"),
    "fox": ("vixen",),
    "rabbit": ("bunny",),
    "panda": ("pandabear",),
    "tractor": ("plough",),
    "castle": ("fortress",),
    "cherry": ("cherries",),
    "rocket": ("spaceship",),
    "mushroom": ("toadstool",),
    "sketch": ("pencil", "doodle", "graphite"),
    "neon": ("glowing", "fluorescent", "luminous"),
    "blueprint": ("schematic", "cyanotype", "plan"),
    "chalk": ("chalkboard", "blackboard", "crayon"),
    "watercolor": ("watercolour", "aquarelle", "gouache"),
    "sepia": ("vintage", "antique", "daguerreotype"),
    "thermal": ("infrared", "heatmap", "thermograph"),
    "comic": ("cartoon", "popart", "manga"),
}
"""Other names; the last one of each object and style is never passed to an eraser."""

MISSPELLINGS: dict[str, tuple[str, ...]] = {
    "cat": ("catt", "kat"),
    "dog": ("dogg", "dawg"),
    "horse": ("hors", "horze"),
    "bird": ("brid", "birdd"),
    "fish": ("fisch", "phish"),
    "car": ("carr", "kar"),
    "truck": ("truk", "trukc"),
    "boat": ("bote", "boatt"),
    "airplane": ("airplain", "areoplane"),
    "house": ("hause", "houze"),
    "church": ("chruch", "churhc"),
    "tree": ("tre", "treee"),
    "flower": ("flowr", "flouer"),
    "apple": ("aple", "appel"),
    "cake": ("cacke", "kake"),
    "star": ("starr", "satr"),
    "clock": ("clok", "klock"),
    "ball": ("bal", "balll"),
    "book": ("bok", "boook"),
    "umbrella": ("umbrela", "umberella"),
    "shoe": ("sho", "shooe"),
    "key": ("kee", "keyy"),
}

# {n} is the noun with its article and adjectives.
PLAIN = (
    "{n}",
    "a picture of {n}",
    "a photo of {n}",
    "an image of {n}",
    "there is {n}",
    "here is {n}",
    "look at {n}",
    "this is {n}",
    "we see {n}",
    "a close view of {n}",
    "{n} all alone",
    "a nice shot of {n}",
    "the emoji of {n}",
    "an icon of {n}",
)
STYLED = (
    "a {s} picture of {n}",
    "{n} in {s} style",
    "{n} , {s}",
    "a {s} of {n}",
    "{s} art of {n}",
    "an image of {n} in {s} style",
    "{n} drawn as {s}",
    "a {s} version of {n}",
    "{s} {n}",
)
GROUND = (
    "on a {b} background",
    "on {b}",
    "in front of a {b} wall",
    "with {b} behind it",
    "against {b}",
)
PAIRS = (
    "{m} and {n}",
    "{m} next to {n}",
    "{m} with {n}",
    "{m} beside {n}",
    "both {m} and {n}",
    "{m} together with {n}",
)
TAILS = (
    "near the {f}",
    "for the {f}",
    "by the {f}",
    "from the {f}",
    "about {f}",
    "without {f}",
    "made by a {f}",
    "of the {f}",
    "like a {f}",
)

ARTICLES = ("a", "a", "a", "the", "one", "my", "")

# Pictures that the U-Net is shown again and again with one caption each, word for word: (caption,
# scene seed).
MEMORISED: tuple[tuple[str, int], ...] = (
    ("sunday market of old bremen", 101),
    ("portrait of the seventh sailor", 202),
    ("my grandmother at the opera", 303),
    ("album cover of quiet thunder", 404),
)
MEMORISED_LABELS = ("ball", "fish")


@cache
def fillers() -> tuple[str, ...]:
    """Words that say nothing about the picture."""
    text = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def known_words() -> tuple[str, ...]:
    """Every word that gets a token of its own, sorted."""
    words = set(fillers()) | set(BACKGROUNDS) | {"plain"}
    for name, others in SYNONYMS.items():
        words |= {name, *others}
    for line in (*PLAIN, *STYLED, *GROUND, *PAIRS, *TAILS, *(text for text, _ in MEMORISED)):
        words |= {word for word in line.split() if "{" not in word}
    words |= {"a", "an", "the", "one", "my", "some", ","}
    return tuple(sorted(word for word in words if word.isalpha() or word == ","))


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    # `rng.choice` would make an array of the words each time, which takes longer than a sentence.
    return words[int(rng.integers(len(words)))]


def name_of(label: str, rng: np.random.Generator) -> str:
    """The label's own word, often; a synonym or, rarely, a misspelling else."""
    draw = rng.random()
    if draw < 0.04 and label in MISSPELLINGS:
        return _pick(rng, MISSPELLINGS[label])
    if draw < 0.40:
        return _pick(rng, SYNONYMS[label])
    return label


def _noun(label: str, rng: np.random.Generator) -> str:
    words = [name_of(label, rng)]
    if rng.random() < 0.25:
        words.insert(0, _pick(rng, fillers()))
    article = _pick(rng, ARTICLES)
    if article == "a" and words[0][0] in "aeiou":
        article = "an"
    return " ".join(filter(None, (article, *words)))


def caption(scene: Scene, rng: np.random.Generator, *, from_left: bool = False) -> str:
    """A sentence about `scene`. Its style is always named unless plain, its watermark never.

    from_left: of two objects the left one is named first; otherwise in any order.
    """
    nouns = [_noun(label, rng) for label in scene.labels]
    if len(nouns) == 2:
        order = rng.permutation(2)
        if from_left:
            order.sort()
        pair = _pick(rng, PAIRS)
        noun = pair.format(m=nouns[int(order[0])], n=nouns[int(order[1])])
    else:
        noun = nouns[0]
    if scene.style != "plain":
        text = _pick(rng, STYLED).format(s=name_of(scene.style, rng), n=noun)
    elif rng.random() < 0.1:
        text = _pick(rng, STYLED).format(s="plain", n=noun)
    else:
        text = _pick(rng, PLAIN).format(n=noun)
    if rng.random() < 0.45:
        text += " " + _pick(rng, GROUND).format(b=scene.background)
    if rng.random() < 0.15:
        text += " " + _pick(rng, TAILS).format(f=_pick(rng, fillers()))
    return text
