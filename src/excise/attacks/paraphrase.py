"""The same thing in other words: synonyms, other sentences, misspellings, another word order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch

from excise.attacks.base import Attack, Budget, Need, Search
from excise.primitives.data import CONTEXTS
from excise.primitives.prompts import completed, named_in, placed, templates
from excise.rng import generator
from excise.types import TEMPLATES, Concept, Progress, Prompt, Request, TextToImage, fill

T = TypeVar("T")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TRIES = 20  # at a text that is new, before one more letter is changed


@dataclass(frozen=True, kw_only=True)
class Paraphrase(Attack):
    """Says each prompt in other words, never the same text twice and never the prompt's own.

    A candidate takes the prompt's own sentence or another one, the concept's name, a synonym or a
    word that erasers may not read, and may misspell it or put the words in another order. Letters
    are dropped, doubled, exchanged, replaced or added, as people mistype (Gao et al. 2023).

    restarts: texts a prompt, drawn without replacement.
    held_back: may the attacker use the words that are held back from erasers? He is free to use
        any word, so by default he may; without it the texts are cleared of them, wherever they
        come from.
    misspelt, reordered, context: the share of texts with a changed name, with another order of
        words, with a sentence around the sentence.
    """

    name: ClassVar[str] = "paraphrase"
    paper: ClassVar[str] = "Gao et al. 2023, arXiv:2306.13103; Saha et al. 2025, arXiv:2508.15124"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 6},
        "standard": {"restarts": 24},
        "thorough": {"restarts": 96},
    }
    smallest: ClassVar[Mapping[str, object]] = {"restarts": 2}

    restarts: int = 24
    held_back: bool = True
    misspelt: float = 0.4
    reordered: float = 0.25
    context: float = 0.25

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(1, "restarts")
        self._shares("misspelt", "reordered", "context")

    def search(
        self,
        model: TextToImage,
        concepts: tuple[Concept, ...],
        prompts: tuple[Prompt, ...],
        *,
        base: TextToImage | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Search:
        """Yield new texts, those of a prompt decided by the seed and its place."""
        concept = completed(model, concepts[0])
        own = (*templates(model, concept), *concept.templates, *TEMPLATES[concept.kind])
        sentences = tuple(dict.fromkeys(own))
        said = {prompt.text for prompt in prompts}
        for restart in range(self.restarts):
            texts = []
            for place, prompt in enumerate(prompts):
                dice = _Dice(seed, restart, place)
                texts.append(self._new(dice, concept, sentences, prompt.text, said))
                said.add(texts[-1])
            yield tuple(Request(prompts=(Prompt(text),)) for text in texts)

    def _new(
        self, dice: _Dice, concept: Concept, sentences: Sequence[str], prompt: str, said: set[str]
    ) -> str:
        secret = () if self.held_back else concept.held_back
        tries = 0
        while True:
            text = self._another(dice, concept, sentences, prompt, tries // TRIES)
            if text not in said and named_in(text, secret) is None:
                return text
            tries += 1

    def _another(
        self, dice: _Dice, concept: Concept, sentences: Sequence[str], prompt: str, more: int
    ) -> str:
        """One text; more: letters that are changed whatever the shares say."""
        words = (*concept.names, *(concept.held_back if self.held_back else ()))
        name = dice.pick(words)
        for _ in range(more + dice.chance(self.misspelt)):
            name = mistyped(name, dice)
        if dice.chance(0.5):
            text = placed(prompt, concept, "{} <1>", name)
        else:
            text = fill(dice.pick(sentences), name)
            # A sentence without a place for it: an implicit concept's.
            text = text if name in text or not more else f"{text} {name}"
        if dice.chance(self.context):
            text = dice.pick(CONTEXTS).replace("{}", text)
        if dice.chance(self.reordered):
            text = " ".join(dice.shuffled(text.split()))
        return " ".join(text.split())


class _Dice:
    """Numbers for one text."""

    def __init__(self, seed: int, restart: int, place: int) -> None:
        self._source = generator("paraphrase", seed, restart, place)

    def number(self, n: int) -> int:
        return int(torch.randint(n, (1,), generator=self._source))

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.number(len(choices))]

    def chance(self, share: float) -> bool:
        return float(torch.rand(1, generator=self._source)) < share

    def shuffled(self, words: Sequence[str]) -> list[str]:
        return [words[i] for i in torch.randperm(len(words), generator=self._source).tolist()]


def mistyped(word: str, dice: _Dice) -> str:
    """A word with one letter dropped, doubled, exchanged with the next, replaced or added."""
    i = dice.number(len(word))
    kind = dice.number(5)
    if kind == 0 and len(word) > 2:
        return word[:i] + word[i + 1 :]
    if kind == 1:
        return word[: i + 1] + word[i:]
    if kind == 2 and i + 1 < len(word):
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if kind == 3:
        return word[:i] + dice.pick(LETTERS) + word[i + 1 :]
    return word[: i + 1] + dice.pick(LETTERS) + word[i + 1 :]
