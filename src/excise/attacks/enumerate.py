"""Every prompt of one word, and pairs of the best: no search over real words finds a better one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from excise.attacks.base import Attack, Budget, Need, Search
from excise.errors import BadSetting
from excise.primitives.attackers import attackers_latents
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.spaces import SOFT
from excise.primitives.vocabulary import Vectors
from excise.progress import SILENT, stage
from excise.types import Concept, Progress, Prompt, Request, TextToImage

CHUNK = 256  # words whose encodings are held at a time


@dataclass(frozen=True, kw_only=True)
class Enumerate(Attack):
    """All words that are one token, ranked by the denoising loss of pictures of the concept.

    The exact worst case at a budget of one token, by loss; gradient attacks at that budget are
    calibrated against it. With as many restarts as words it is exact by the judge, too. Two tokens
    are exact among the pairs of those words that ``keep`` leaves, singles beside them.

    Threat model: losses of the edited model on the attacker's own pictures, no gradients, and
    prompts of one word or two. The prompts given are not read: what is handed over stands alone, or
    in ``template``.

    tokens: 1, or 2 after screening. keep: words from which pairs are made. restarts: how many of
    the best are handed over, the best first. template: a text with ``{}`` for the words.
    pictures, share: as `InvertingAttack`. bank: noises and levels of the loss, the same for every
    word and model. guidance: as `InvertingAttack`. batch: rows through the network at a time.
    """

    name: ClassVar[str] = "enumerate"
    paper: ClassVar[str] = "exhaustive search with the loss of Li et al. 2023, arXiv:2303.16203"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompts", "losses", "pictures"})
    independent: ClassVar[bool] = False  # from the best down, no draws from a pool
    chooses: ClassVar[Literal["prompt", "restart"]] = "restart"
    budgets: ClassVar[Mapping[Budget, Mapping[str, object]]] = {
        "quick": {"restarts": 8, "bank": 8},
        "standard": {"restarts": 32, "bank": 16},
        "thorough": {"restarts": 128, "bank": 32, "tokens": 2},
    }
    smallest: ClassVar[Mapping[str, object]] = {
        "tokens": 2, "keep": 2, "restarts": 2, "bank": 1, "pictures": 1,
    }  # fmt: skip

    tokens: Literal[1, 2] = 1
    keep: int = 64
    restarts: int = 32
    template: str = "{}"
    pictures: int = 64
    share: Literal["attack", "all"] = "attack"
    bank: int = 16
    guidance: float | None = None
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        self._among("tokens", (1, 2))
        self._at_least(1, "keep", "restarts", "pictures", "bank", "batch")
        if self.template.count("{}") != 1:
            raise BadSetting(
                f"enumerate: expected {{}} once in the template, got {self.template!r}"
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
        """Yield the best words, one after the other, the same for every prompt."""
        latents = attackers_latents(
            model, concepts[0], base, self.pictures, share=self.share, seed=seed, progress=progress
        )
        vectors = Vectors.of(model)
        tried = torch.arange(len(vectors))[:, None]  # (W, 1)
        ranked = self.ranked(model, vectors, latents, tried, progress)
        if self.tokens == 2:
            first = torch.tensor([words[0] for _, words in ranked[: self.keep]])
            pairs = torch.cartesian_prod(first, first)  # (keep^2, 2), in either order
            ranked += self.ranked(model, vectors, latents, pairs, progress)
            ranked.sort(key=lambda pair: pair[0])  # equals stay in order
        for _, words in ranked[: self.restarts]:
            text = self.template.replace("{}", vectors.lexicon.text(words))
            yield (Request(prompts=(Prompt(text),)),) * len(prompts)

    @torch.no_grad()
    def ranked(
        self,
        model: TextToImage,
        vectors: Vectors,
        latents: Tensor,
        words: Tensor,
        progress: Progress | None = None,
    ) -> list[tuple[float, tuple[int, ...]]]:
        """(loss, words) for each row of words, int64 (n, k), the smallest loss first."""
        bank = Bank.of(latents, self.bank)
        names = vectors.lexicon
        found: list[tuple[float, tuple[int, ...]]] = []
        with stage(progress or SILENT, "weigh every word", len(words), "text") as shown:
            for some in torch.split(words, CHUNK):
                # As vectors: the encodings of texts are remembered, and these are met once.
                text = self.template.replace("{}", SOFT)
                cond = model.encode_soft(text, {SOFT: vectors.at(some)})
                rows = [tuple(row) for row in some.tolist()]
                spoken = [Prompt(self.template.replace("{}", names.text(row))) for row in rows]
                loss = concept_loss(
                    model,
                    latents,
                    cond,
                    bank,
                    prompts=spoken,
                    guidance=self.guidance,
                    batch=self.batch,
                )
                found += zip(loss.mean(dim=1).tolist(), rows, strict=True)
                shown.advance(len(some))
        return sorted(found, key=lambda pair: pair[0])
