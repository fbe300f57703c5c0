"""A negative prompt: the concept's names stand where the unconditional stands.

Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models"
(arXiv:2206.01714), section 3: the conjunction with a negated concept. What users do by hand, and
the baseline that any guard has to beat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Need
from excise.hooks import negative_prompt as hooks
from excise.primitives.prompts import avoided


@dataclass(frozen=True, kw_only=True)
class NegativePrompt(Eraser):
    """Guide away from the concepts' names. Nothing is trained, and nothing acts at guidance 1.

    text: what is not to be seen.
    place: ``condition`` is the plain negative prompt, in the place of a user's own; ``prediction``
        leaves the user theirs, has a strength, and costs one evaluation more.
    weight: strength of the term at ``prediction``.
    """

    name: ClassVar[str] = "negative_prompt"
    paper: ClassVar[str] = "arXiv:2206.01714"
    needs: ClassVar[frozenset[Need]] = frozenset({"unconditional"})
    scaled: ClassVar[tuple[str, ...]] = ()
    unset: ClassVar[Mapping[str, str]] = {"text": "the concepts' names, separated by commas"}
    smallest: ClassVar[Mapping[str, object]] = {"text": "a cat"}

    text: str | None = None
    place: Literal["condition", "prediction"] = "condition"
    weight: float = 1.0

    def __post_init__(self) -> None:
        self._positive("weight")
        # The hook refuses what it cannot do.
        hooks.NegativePrompt(text="-", place=self.place, strength=self.weight)

    def change(self, work: Work) -> Change:
        """Name the concepts."""
        text = avoided(work.model, work.concepts, self.text, work.progress)
        hook = hooks.NegativePrompt(text=text, place=self.place, strength=self.weight)
        return Change(hooks=(hook,), record={"text": text})
