"""UCE: read the concept's words as other words, and everything else as before, in closed form.

Gandikota et al. 2023, "Unified Concept Editing in Diffusion Models" (arXiv:2308.14761).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, get_args

from excise.edit import Encoded
from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Need
from excise.primitives.closed_form import fitted
from excise.primitives.moments import gathered, paired
from excise.primitives.readers import States, pairs, readings, states
from excise.primitives.swaps import GUIDED, Retain, retained, swaps
from excise.progress import stage


@dataclass(frozen=True, kw_only=True)
class UCE(Eraser):
    """Unified Concept Editing (equation 7), for all concepts in one solve.

    ``W' = (ridge W + erase sum v* c^T + preserve sum W k k^T) S^-1`` with v* = W g for the guide g
    and S = ridge I + erase sum c c^T + preserve sum k k^T, over the concepts' names and synonyms c
    and all that is kept, k.

    The defaults are those of the authors' later code, which takes one state a prompt. Their first
    code is ``tokens="padded_tail"``; its "tensor" variant, whose targets depend on the layer, is
    not here. The paper keeps what a user lists; here that is what the model is known to draw.

    tokens: which states of a concept's prompts are read as which of its guide's. What is kept is
        kept in the same states; in all of them for ``tail`` and ``padded_tail``.
    guide: what is read in the concepts' place.
    erase_scale, preserve_scale, ridge: the weights alpha, beta and lambda of the equation.
    retain: what is preserved. paraphrases: five sentences more for each name, as the authors'.
    kinds: which weights change: ``key`` and ``value`` of cross-attention, where a model has none
        ``context``, which embeds the text for all layers, and ``pooled``.
    """

    name: ClassVar[str] = "uce"
    paper: ClassVar[str] = "arXiv:2308.14761"
    needs: ClassVar[frozenset[Need]] = frozenset({"text_readers"})
    scaled: ClassVar[tuple[str, ...]] = ()  # a closed form has no steps to scale
    measured: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "sd3": {"kinds": ("context", "pooled")},  # as the authors' script for FLUX
    }
    unset: ClassVar[Mapping[str, str]] = {"guide": GUIDED}
    smallest: ClassVar[Mapping[str, object]] = {"paraphrases": True}

    tokens: States = "last"
    guide: str | None = None
    erase_scale: float = 1.0
    preserve_scale: float = 1.0
    ridge: float = 0.5
    retain: Retain = "kept"
    paraphrases: bool = False
    kinds: tuple[str, ...] = ("key", "value", "context")

    def __post_init__(self) -> None:
        self._positive("erase_scale", "ridge")
        self._among("tokens", get_args(States))
        self._among("retain", get_args(Retain))
        self._at_least(0, "preserve_scale")

    def change(self, work: Work) -> Change:
        """One solve for all weights that read the same states."""
        model, concepts = work.model, work.concepts
        asked = swaps(concepts, self.name, guide=self.guide, paraphrases=self.paraphrases)
        kept = retained(model, concepts, self.retain, self.paraphrases)
        every = "all" if self.tokens in ("tail", "padded_tail") else self.tokens
        groups = readings(model, self.kinds, self.name)
        live = model.parameters("*")
        deltas: dict[str, Encoded] = {}
        with stage(work.progress, "solve", sum(len(g.weights) for g in groups), "weight"):
            for group in groups:
                update = fitted(
                    paired(pairs(model, group, asked, self.tokens)),
                    gathered(states(model, group, kept, every)) if kept else None,
                    erase=self.erase_scale,
                    preserve=self.preserve_scale,
                    ridge=self.ridge,
                )
                deltas |= update.on({name: live[name] for name in group.weights})
                work.progress.advance(len(group.weights))
        record = {
            "swaps": [[source.text, target.text] for source, target in asked],
            "kept": [mention.text for mention in kept],
        }
        return Change(deltas=deltas, record=record)
