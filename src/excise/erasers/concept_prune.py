"""ConceptPrune: set to zero the few weights that a concept, and only it, is drawn with.

Chavhan et al. 2024, "ConceptPrune: Concept Editing in Diffusion Models via Skilled Neuron Pruning"
(arXiv:2405.19237), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import SECOND, Need
from excise.errors import BadSetting
from excise.primitives.activations import Norms, column_norms
from excise.primitives.data import spread
from excise.primitives.prompts import kept_concepts, pairs
from excise.primitives.saliency import held, joined, pruned, skilled
from excise.rng import seed_of
from excise.types import Concept, Prompt, Request, TextToImage, fill

SHARES: Mapping[bool, float] = {True: 0.01, False: 0.02}  # of a style, and of the rest


@dataclass(frozen=True, kw_only=True)
class ConceptPrune(Eraser):
    """Prune skilled neurons; nothing is trained.

    The model draws things with the concept, and from the same noise the things alone: an object
    beside others, others in a style, and nothing at all beside an implicit concept. At each of the
    first steps, a weight of a feed-forward network's second layer is skilled if its Wanda score
    ``|W_ij| ||X_j||`` is among the top ``share`` of its row with the concept, and larger than
    without. What is skilled at any of these steps, for any concept, is set to zero. In SD 3 those
    are the networks of the picture's stream.

    The norms are taken, as the authors' code does, over tokens scaled to length one, of both halves
    of a guided step.

    share: of each row; the paper's depends on what the concept is.
    prompts: pairs of them, for each concept, if the model knows as many things.
    first: of the ``sampling_steps``, those that are looked at. guidance: of the drawing.
    """

    name: ClassVar[str] = "concept_prune"
    paper: ClassVar[str] = "arXiv:2405.19237"
    needs: ClassVar[frozenset[Need]] = frozenset({"feed_forward"})
    scaled: ClassVar[tuple[str, ...]] = ("prompts",)
    unset: ClassVar[Mapping[str, str]] = {
        "share": f"{SHARES[True]:g} for styles, {SHARES[False]:g} for the rest"
    }
    smallest: ClassVar[Mapping[str, object]] = {"prompts": 2, "first": 1, "sampling_steps": 2}

    share: float | None = None
    prompts: int = 20
    first: int = 10
    sampling_steps: int = 50
    guidance: float = 7.5

    def __post_init__(self) -> None:
        self._positive("prompts", "first", "sampling_steps")
        if self.share is not None and not 0 < self.share <= 1:
            raise BadSetting(f"{self.name}: expected share in (0, 1] or none, got {self.share}")
        if self.first >= self.sampling_steps:
            raise BadSetting(
                f"{self.name}: expected first < sampling_steps, got {self.first} and "
                f"{self.sampling_steps}"
            )

    def change(self, work: Work) -> Change:
        """Draw, score, prune."""
        masks = [self._kept(work, i) for i in range(len(work.concepts))]
        union = joined(masks)
        record = {
            "pruned": {name: held({name: mask}) for name, mask in union.items()},
            "each": [held(mask) for mask in masks],
        }
        return Change(deltas=pruned(work.model, union), record=record)

    def _kept(self, work: Work, i: int) -> Mapping[str, Tensor]:
        def find() -> tuple[Mapping[str, Tensor], None]:
            return self.mask(work, work.concepts[i]), None

        return work.kept(f"concept-prune-{i}", find).tensors

    def mask(self, work: Work, concept: Concept) -> dict[str, Tensor]:
        """The skilled weights of a concept, by canonical name."""
        model = work.model
        weights = layers(model)
        own, without = self.pairs(work, concept)
        target = self._norms(work, own, tuple(weights))
        base = self._norms(work, without, tuple(weights))
        share = self.share or SHARES[concept.kind == "style"]
        return joined(
            [
                {
                    f"{name}.weight": skilled(weight, target[step][name], base[step][name], share)
                    for name, weight in weights.items()
                }
                for step in target
            ]
        )

    def pairs(self, work: Work, concept: Concept) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
        """Prompts with a concept, and without."""
        if concept.kind == "implicit":
            own = spread(concept, self.prompts, seed=work.seed, split="prune")
            return own, (Prompt(""),) * len(own)
        found = pairs(work.model, concept, kept_concepts(work.model, work.concepts), self.prompts)
        alone = tuple(Prompt(fill("a photo of {a}", pair.other.name)) for pair in found)
        return tuple(pair.prompt for pair in found), alone

    def _norms(self, work: Work, prompts: tuple[Prompt, ...], modules: tuple[str, ...]) -> Norms:
        request = Request(
            prompts=prompts,
            seeds=tuple(seed_of("concept prune", work.seed, i) for i in range(len(prompts))),
            steps=self.sampling_steps,
            guidance=self.guidance,
        )
        return column_norms(work.model, request, self.first, modules, progress=work.progress)


def layers(model: TextToImage) -> dict[str, Tensor]:
    """The weights (o, i) that may be pruned, by their layer's canonical name."""
    names = [n for n in model.parameters("denoiser") if n.endswith(SECOND)]
    return {name.removesuffix(".weight"): w for name, w in model.parameters(names).items()}
