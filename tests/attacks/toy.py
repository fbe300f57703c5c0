"""A judge of the two things, and attacks that are known through and through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from tests.trained import World
from torch import Tensor

from excise.attacks.base import Attack, Need, Search
from excise.types import Concept, Progress, Prompt, Request, Score, TextToImage


def told(
    hunt: Search, answer: Callable[[tuple[Request, ...]], tuple[bool, ...]]
) -> Iterator[tuple[Request, ...]]:
    """What a search yields when it is sent what ``answer`` says of its candidates."""
    try:
        found = next(hunt)
        while True:
            yield found
            found = hunt.send(answer(found))
    except StopIteration:
        return
    finally:
        hunt.close()


@dataclass
class Nearest:
    """Says "cat" where a picture is nearer to the mean cat than to the mean dog."""

    world: World
    name: str = "nearest"
    seen: list[Tensor] = field(default_factory=list)

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        self.seen.append(pictures)
        with torch.no_grad():
            decode, latents = self.world.model.decode, self.world.latents
            cat, dog = (decode(latents[n].mean(0)[None]).flatten() for n in ("cat", "dog"))
        x = pictures.float().flatten(1) / 255
        values = torch.sigmoid(4 * ((x - dog).norm(dim=1) - (x - cat).norm(dim=1)))
        return Score(concept="cat", judge=self.name, values=values, threshold=0.6)


@dataclass(frozen=True, kw_only=True)
class Words(Attack):
    """Tries words one after the other, and writes down what it is told."""

    name: ClassVar[str] = "words"
    paper: ClassVar[str] = "none"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "feedback"})

    words: tuple[str, ...]
    told: list[tuple[bool, ...]] = field(default_factory=list, init=False, compare=False)

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
        for word in self.words:
            fell = yield tuple(
                Request(prompts=(Prompt(prompt.text.replace("_", word)),)) for prompt in prompts
            )
            self.told.append(fell)


@dataclass(frozen=True, kw_only=True)
class Learning(Words):
    """The same, but with restarts that may depend on one another."""

    independent: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Deaf(Words):
    """The same, but without need of an answer."""

    needs: ClassVar[frozenset[Need]] = frozenset({"prompts"})
