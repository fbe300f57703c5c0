"""Concept Arithmetics: the concept's direction put together from others, by composition.

Petsiuk and Saenko 2024 (arXiv:2404.13706). Composable diffusion (Liu et al. 2022, arXiv:2206.01714,
eq. 11) draws from eps(0) + sum_i w_i d(c_i) with d(c) = eps(c) - eps(0). An inhibited model no
longer gives d(target), but it may give parts from which it follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, get_args

import torch

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import BadSetting
from excise.primitives.prompts import completed, kept_concepts, placed
from excise.rng import generator
from excise.types import Concept, Progress, Prompt, Request, Term, TextToImage, fill

Form = Literal["carried", "negated", "assembled"]


@dataclass(frozen=True, kw_only=True)
class ConceptArithmetics(Attack):
    """Draws from weighted sums of prompts in the place of the prompt.

    With s the guidance, p the prompt, k another thing that the model draws, and p[x] the prompt
    with x in the concept's place:

    - ``carried``: s d(p and k) - s d(k). If a scene adds up, d(p and k) = d(p) + d(k), the other
      thing drops out, and what an edit does to p alone is never asked for.
    - ``negated``: s d(p[k]) - s d(name). An edit that trains the concept's prediction towards
      eps(0) - eta d(target), as ESD does, has made of the name a direction away from the concept;
      taking that away leads back.
    - ``assembled``: s/2 d(p[k]) + s/2 d(p[l]), from two of the concept's neighbours, or of other
      things where it has less than two.

    The forms are written down here from the paper's idea; its own weights are tuned for each edit.

    forms: which of them. guidance: the scales s. strengths: factors on the terms that follow the
        prompt, 1 being the identities above. restarts: combinations, drawn without replacement;
        there may be fewer.
    """

    name: ClassVar[str] = "concept_arithmetics"
    paper: ClassVar[str] = "Petsiuk and Saenko 2024, arXiv:2404.13706"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "sampler"})
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 6},
        "standard": {"restarts": 24},
        "thorough": {"restarts": 96},
    }
    smallest: ClassVar[Mapping[str, object]] = {"restarts": 3}

    forms: tuple[Form, ...] = get_args(Form)
    guidance: tuple[float, ...] = (4.0, 7.5)
    strengths: tuple[float, ...] = (0.5, 1.0, 1.5)
    restarts: int = 24

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._among("forms", get_args(Form))
        self._at_least(1, "restarts")
        if not self.guidance or not self.strengths:
            raise BadSetting(
                f"{self.name}: expected one or more scales and strengths, got {self.guidance} and "
                f"{self.strengths}"
            )

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
        """Yield combinations in an order that the seed decides, forms in turn."""
        concept = completed(model, concepts[0])
        others = [row.name for row in kept_concepts(model, concepts) if row.kind == "object"]
        near = list(dict.fromkeys([*concept.neighbours, *others]))
        lists = [self._shuffled(form, others if form == "carried" else near, seed)
                 for form in self.forms]  # fmt: skip
        longest = max(len(rows) for rows in lists)
        turns = [rows[i] for i in range(longest) for rows in lists if i < len(rows)]
        for form, words, scale, strength in turns[: self.restarts]:
            yield tuple(
                composed(form, concept, prompt.text, words, scale, strength) for prompt in prompts
            )

    def _shuffled(
        self, form: Form, names: list[str], seed: int
    ) -> list[tuple[Form, tuple[str, ...], float, float]]:
        """All combinations of a form, in a random order; neighbours come first in pairs."""
        words: list[tuple[str, ...]] = [(name,) for name in names]
        if form == "assembled":
            words = list(pairwise(names))
        rows = [(form, w, s, f) for w in words for s in self.guidance for f in self.strengths]
        order = torch.randperm(len(rows), generator=generator("arithmetics", seed, form))
        return [rows[i] for i in order.tolist()]


def composed(
    form: Form, concept: Concept, text: str, words: tuple[str, ...], scale: float, strength: float
) -> Request:
    """The request of one combination: guidance ``scale`` on its prompt, and one further term."""
    first = fill("{a}", words[0])
    if form == "carried":
        main, term, weight = f"{text} and {first}", first, -scale
    elif form == "negated":
        main, term, weight = placed(text, concept, "{} <1>", words[0]), concept.name, -scale
    else:
        main = placed(text, concept, "{} <1>", words[0])
        term, weight = placed(text, concept, "{} <1>", words[1]), scale / 2
        scale = scale / 2
    return Request(
        prompts=(Prompt(main),),
        guidance=scale,
        terms=(Term(prompts=(Prompt(term),), weight=strength * weight),),
    )
