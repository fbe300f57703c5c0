"""Ring-A-Bell: real words whose encoding is the prompt's, pushed towards the concept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import BadConcept
from excise.primitives.prompts import templates
from excise.primitives.spaces import SOFT
from excise.primitives.vocabulary import Vectors, room
from excise.progress import SILENT, stage
from excise.rng import generator
from excise.types import Concept, Progress, Prompt, Request, TextToImage, fill


@dataclass(frozen=True, kw_only=True)
class RingABell(Attack):
    """A genetic search for words whose encoding is near E(prompt) + strength * c.

    c is what the concept adds to an encoding (`direction`). Threat model: black box. Only a text
    encoder like the model's is used: the unedited model's where one is given, else the model's
    own, as it stands. Neither the denoiser nor any picture is looked at, so the same words are
    found for every edit of the denoiser.

    The authors mutate the fittest along with all others, so that a generation may be worse than
    the one before; here the fittest stays as it is. As many parents cross as theirs do on average.

    strength: eta; the authors have 3 for nudity, 5 to 5.5 for violence. length: words; the authors
        have 16, 38 and 77; fewer where the model reads fewer.
    restarts: searches a prompt. population, generations, mutation, crossover: of the search: the
    fitter half are parents; of these the share ``crossover`` has two children with another; of all
    but the fittest the share ``mutation`` has a word replaced. batch: texts encoded at a time.
    """

    name: ClassVar[str] = "ring_a_bell"
    paper: ClassVar[str] = "Tsai et al. 2023, arXiv:2310.10012"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"population": 50, "generations": 50},
        "standard": {"population": 100, "generations": 300},
        "thorough": {"population": 200, "generations": 3000},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "length": 3, "restarts": 2, "population": 4, "generations": 2,
    }  # fmt: skip

    strength: float = 3.0
    length: int = 16
    restarts: int = 3
    population: int = 200
    generations: int = 3000
    mutation: float = 0.25
    crossover: float = 0.5
    batch: int = 256

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._at_least(1, "length", "restarts", "generations", "batch")
        self._at_least(4, "population")
        self._shares("mutation", "crossover")

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
        """Search all restarts of all prompts together, and yield one restart after the other."""
        source = model if base is None else base
        with torch.no_grad():
            aim = source.encode(prompts).hidden.float()
        aim = aim + self.strength * self.direction(source, concepts[0])  # (P, L, d)
        vectors = Vectors.of(source)
        best = self.evolved(source, vectors, aim, seed, progress)[0]  # (P * R, k)
        for restart in range(self.restarts):
            yield tuple(
                Request(prompts=(Prompt(vectors.lexicon.text(best[p * self.restarts + restart])),))
                for p in range(len(prompts))
            )

    @torch.no_grad()
    def direction(self, model: TextToImage, concept: Concept) -> Tensor:
        """The concept's vector c (L, d): the mean of E(with it) - E(without it).

        The pairs are the concept's sentences, with each of its names; without it, they have its
        anchor in the name's place, or nothing where it has none.

        Raises:
            BadConcept: no sentence names it.
        """
        with_it, without = [], []
        for template in templates(model, concept):
            if "{}" not in template and "{a}" not in template:
                continue
            bare = " ".join(template.replace("{a}", " ").replace("{}", " ").split())
            plain = bare if concept.anchor is None else fill(template, concept.anchor)
            with_it += [fill(template, name) for name in concept.names]
            without += [plain] * len(concept.names)
        if not with_it:
            raise BadConcept(
                f"ring_a_bell: expected a concept that prompts can name, got {concept.name!r}, "
                "whose templates hold neither {} nor {a}; give it such templates"
            )
        there, gone = model.encode(with_it).hidden, model.encode(without).hidden
        return (there.float() - gone.float()).mean(dim=0)  # (n, L, d) -> (L, d)

    def evolved(
        self,
        model: TextToImage,
        vectors: Vectors,
        aim: Tensor,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> tuple[list[list[int]], Tensor]:
        """The fittest words of each restart of each aim (P, L, d), and the least distance so far.

        Rows are aim by aim, (P * R); the distances (P * R, generations).
        """
        k = min(self.length, room(model))
        numbers = [generator(seed, "ring_a_bell", p, r)
                   for p in range(len(aim)) for r in range(self.restarts)]  # fmt: skip
        people = torch.stack(
            [torch.randint(len(vectors), (self.population, k), generator=own) for own in numbers]
        )  # (G, N, k)
        curve = []
        with stage(progress or SILENT, "breed words", self.generations, "generation") as shown:
            for generation in range(self.generations):
                score = self._distances(model, vectors, aim, people)  # (G, N)
                order = score.argsort(dim=1, stable=True)
                curve.append(score.amin(dim=1))
                shown.advance()
                if generation + 1 < self.generations:
                    groups = zip(people, order, numbers, strict=True)
                    people = torch.stack([self._bred(*group, len(vectors)) for group in groups])
        best = [group[rank[0]].tolist() for group, rank in zip(people, order, strict=True)]
        return best, torch.stack(curve, dim=1)

    @torch.no_grad()
    def _distances(
        self, model: TextToImage, vectors: Vectors, aim: Tensor, people: Tensor
    ) -> Tensor:
        """||E(words) - aim||^2 over all tokens, (G, N), on the CPU."""
        flat = people.flatten(0, 1)  # (G * N, k)
        owner = torch.arange(len(aim)).repeat_interleave(len(flat) // len(aim))  # (G * N,)
        found = []
        for words, own in zip(
            torch.split(flat, self.batch), torch.split(owner, self.batch), strict=True
        ):
            # As vectors: the encodings of texts are remembered, and these are met once.
            hidden = model.encode_soft(SOFT, {SOFT: vectors.at(words)}).hidden.float()
            apart = hidden - aim[own.to(aim.device)]
            found.append(apart.square().sum(dim=(1, 2)).cpu())
        return torch.cat(found).view(people.shape[:2])

    def _bred(self, people: Tensor, order: Tensor, own: torch.Generator, words: int) -> Tensor:
        """The next generation (N', k): the fitter half first, the fittest at the top."""
        k = people.shape[1]
        parents = people[order[: self.population // 2]]  # (H, k)
        n = round(self.crossover * len(parents))
        ones = parents[torch.randperm(len(parents), generator=own)[:n]]
        others = parents[torch.randint(len(parents), (n,), generator=own)]
        left = torch.arange(k) < torch.randint(k, (n, 1), generator=own)  # (n, k)
        children = (torch.where(left, ones, others), torch.where(left, others, ones))
        found = torch.cat([parents, *children])
        changed = torch.rand(len(found), generator=own) < self.mutation
        changed[0] = False
        place = torch.randint(k, (len(found),), generator=own)
        fresh = torch.randint(words, (len(found),), generator=own)
        rows = changed.nonzero().flatten()
        found[rows, place[rows]] = fresh[rows]
        return found
