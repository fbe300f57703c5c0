"""SAFREE: take the words that lead towards the concept out of each prompt's embeddings.

Yoon et al. 2024, "SAFREE: Training-Free and Adaptive Guard for Safe Text-to-Image And Video
Generation" (arXiv:2410.12761).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from excise.erasers.base import Change, Eraser, Work
from excise.erasers.declared import Need
from excise.errors import Unsupported
from excise.hooks import safree as hooks
from excise.hooks.negative_prompt import NegativePrompt
from excise.primitives.prompts import avoided
from excise.types import Hook

REATTENTION = (0.9, 0.2)  # the authors' "1.0-1.0-0.9-0.2", whose ones change nothing
# Where the filter turns on: the authors' code has figures of their own for artists.
FILTERS: Mapping[bool, tuple[float, float]] = {False: (2.5, 5.333), True: (3.5, 5.5)}


@dataclass(frozen=True, kw_only=True)
class SAFREE(Eraser):
    """Token projection with the self-validating filter. Nothing is trained.

    A word of a prompt triggers if the prompt without it is farther from the subspace of the phrases
    than the prompt without another of its words is on the average. Its states are projected out of
    that subspace, for as many of the first steps as the filter says: the more, the more the
    projection changes.

    phrases: what spans the subspace that is left; all names of all concepts if there are none.
    alpha: by what share farther, for a word to trigger. filter: without it, every step is changed.
    steps, slope, middle: the filter's number of steps is that many times a sigmoid of the change,
        of this slope and about this middle (equation 6).
    negative: the phrases are also the negative prompt, as in the authors' code.
    reattention: also damp the picture's own features; of U-Nets only. The authors' code does so for
        Stable Diffusion 1.4 alone.
    """

    name: ClassVar[str] = "safree"
    paper: ClassVar[str] = "arXiv:2410.12761"
    needs: ClassVar[frozenset[Need]] = frozenset({"unconditional"})
    scaled: ClassVar[tuple[str, ...]] = ()
    unset: ClassVar[Mapping[str, str]] = {
        name: f"the authors': {FILTERS[False][i]:g}, {FILTERS[True][i]:g} for styles"
        for i, name in enumerate(("slope", "middle"))
    }
    smallest: ClassVar[Mapping[str, object]] = {"filter": False}

    phrases: tuple[str, ...] = ()
    alpha: float = 0.01
    filter: bool = True
    steps: int = 10
    slope: float | None = None
    middle: float | None = None
    negative: bool = True
    reattention: bool = False

    @property
    def needed(self) -> frozenset[Need]:
        """An unconditional for the negative prompt."""
        return self.needs if self.negative else frozenset()

    def change(self, work: Work) -> Change:
        """Name the concepts."""
        names = tuple(dict.fromkeys(n for c in work.concepts for n in c.names))
        phrases = self.phrases or names
        text = avoided(work.model, work.concepts, ", ".join(phrases), work.progress)
        slope, middle = FILTERS[all(c.kind == "style" for c in work.concepts)]
        if self.reattention and work.model.denoiser != "unet":
            raise Unsupported(
                f"expected a U-Net for latent re-attention, got a {work.model.denoiser}; leave out "
                "reattention"
            )
        guard = hooks.SAFREE(
            phrases=phrases,
            alpha=self.alpha,
            filter=self.filter,
            steps=self.steps,
            slope=slope if self.slope is None else self.slope,
            middle=middle if self.middle is None else self.middle,
            reattention=REATTENTION if self.reattention else (),
        )
        found: tuple[Hook, ...] = (guard,)
        if self.negative:
            found = (NegativePrompt(text=text), guard)
        return Change(hooks=found, record={"phrases": list(phrases)})
