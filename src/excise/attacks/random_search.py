"""Random search on the conditioning, that is told which prompts fell and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from excise.attacks.base import Attack, Budget, Need, Search
from excise.rng import generator
from excise.types import Concept, Condition, Progress, Prompt, Request, TextToImage

Directions = Literal["words", "gaussian"]

# Sizes and crops (SDXL's time_ids) are no text.
_FREE = ("hidden", "pooled")


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Attack):
    """One perturbation for all prompts' conditionings; what fells a prompt is searched around.

    Threat model: black box but for the conditioning: vectors may be handed over in the place of
    words, and the answer is whether pictures show the concept; no weights, gradients or pictures.
    The frame is the random search of Square Attack (algorithm 1): propose at random, around the
    best so far, and move there if that is better. Their score is a margin; here nothing is known of
    a prompt but whether it fell, so "better" is that a prompt fell which had stood. A prompt that
    fell keeps what felled it, and the others go on from there.

    looks: candidates a prompt, of which each costs its pictures on all select seeds. The authors'
        10,000 queries are 200 looks at 8 prompts on 6 seeds.
    radius: the longest step, in units of what a word does to an encoding.
    directions: ``words``, what a random word adds to the empty prompt; ``gaussian``, noise of the
        same root mean square.
    """

    name: ClassVar[str] = "random_search"
    paper: ClassVar[str] = "after Andriushchenko et al. 2020, arXiv:1912.00049"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "feedback", "embeddings"})
    independent: ClassVar[bool] = False
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"looks": 20},
        "standard": {"looks": 60},
        "thorough": {"looks": 200},
    }
    smallest: ClassVar[Mapping[str, object]] = {"looks": 2}

    looks: int = 60
    radius: float = 2.0
    directions: Directions = "words"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(1, "looks")
        self._positive("radius")
        self._among("directions", get_args(Directions))

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
        """Yield the conditionings as they are, then proposals for as long as a prompt stands."""
        with torch.no_grad():
            plain = model.encode(prompts).to("cpu")
        names = [name for name in _FREE if name in plain.tensors]
        steps = self._steps(model, names, seed)
        centre = {name: torch.zeros_like(plain.tensors[name][:1]) for name in names}
        proposed = centre
        best = self._requests(prompts, plain, centre)
        fallen = [False] * len(prompts)
        for look in range(self.looks):
            tried = self._requests(prompts, plain, proposed)
            best = tuple(
                old if fell else new for old, new, fell in zip(best, tried, fallen, strict=True)
            )
            told = yield best
            if any(new and not old for new, old in zip(told, fallen, strict=True)):
                centre = proposed
            fallen = [a or b for a, b in zip(fallen, told, strict=True)]
            if all(fallen):
                return
            if look + 1 < self.looks:
                step = next(steps)
                proposed = {name: value + step[name] for name, value in centre.items()}

    @torch.no_grad()
    def _steps(
        self, model: TextToImage, names: list[str], seed: int
    ) -> Iterator[dict[str, Tensor]]:
        """Random steps, by tensor (1, ...), without an end."""
        words = model.lexicon().words
        empty = model.encode("").to("cpu")
        look = 0
        while True:
            own = generator(seed, "random_search", look)
            word = words[int(torch.randint(len(words), (1,), generator=own))]
            length = self.radius * torch.rand(1, generator=own)
            cond = model.encode(word).to("cpu")
            found = {name: cond.tensors[name] - empty.tensors[name] for name in names}
            if self.directions == "gaussian":
                found = {
                    name: value.square().mean().sqrt() * torch.randn(value.shape, generator=own)
                    for name, value in found.items()
                }
            yield {name: (length * value).to(value) for name, value in found.items()}
            look += 1

    def _requests(
        self, prompts: tuple[Prompt, ...], plain: Condition, moved: Mapping[str, Tensor]
    ) -> tuple[Request, ...]:
        tensors = {**plain.tensors, **{n: plain.tensors[n] + value for n, value in moved.items()}}
        cond = Condition(tensors=tensors)  # no prompt's any more
        return tuple(
            Request(prompts=(prompt,), condition=cond[[row]]) for row, prompt in enumerate(prompts)
        )
