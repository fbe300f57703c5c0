"""The simplest guard: what is not to be seen stands where the unconditional stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from torch import Tensor

from excise.errors import BadSetting
from excise.hooks.base import Gradient, Hook, in_place_of, needs_null
from excise.types import Condition, Denoise, Prompt, State, Step, TextToImage


@dataclass(frozen=True, eq=False, kw_only=True)
class NegativePrompt(Hook):
    """Guide away from a text.

    With guidance s, an unconditional replaced by the prediction n of the text gives
    n + s (c - n), which is 0 + s (c - 0) - (s - 1) (n - 0) about the model's own unconditional 0.
    So replacing it is, at ``strength`` 1, the same as a further term (Liu et al. 2022,
    arXiv:2206.01714, eq. 11), which costs one evaluation more but has a strength and leaves a
    negative prompt of the user's in its place.

    text: what is not to be seen.
    place: ``condition`` replaces, ``prediction`` adds the term. Neither acts where nothing is
        guided, at s = 1.
    strength: factor of the term.
    """

    name: ClassVar[str] = "negative_prompt"
    gradient: ClassVar[Gradient] = "differentiable"

    text: str
    place: Literal["condition", "prediction"] = "condition"
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.place == "condition" and self.strength != 1:
            raise BadSetting(
                f"{self.name}: expected strength 1 where the unconditional is replaced, got "
                f"{self.strength}; set place=prediction"
            )

    def scaled(self, factor: float) -> NegativePrompt:
        """At ``factor`` times the strength, as a term."""
        return replace(self, place="prediction", strength=self.strength * factor)

    def condition(
        self,
        model: TextToImage,
        prompts: tuple[Prompt, ...],
        cond: Condition,
        null: Condition | None,
    ) -> tuple[Condition, Condition | None]:
        """Replace the unconditional."""
        if self.place != "condition":
            return cond, null
        return cond, in_place_of(needs_null(null, self), self._tensors(model))

    def prediction(
        self,
        model: TextToImage,
        denoise: Denoise,
        x: Tensor,
        step: Step,
        cond: Condition,
        null: Condition | None,
        state: State,
    ) -> tuple[Tensor, State]:
        """Add the term. The encoded text is kept from step to step."""
        own = dict(state.own)
        if self.place == "prediction" and step.guidance != 1:
            own = own or self._tensors(model)
            away = in_place_of(needs_null(null, self), own)
            weight = -self.strength * (step.guidance - 1)
            step = replace(step, terms=(*step.terms, (away, weight)))
        prediction, inner = denoise(x, step, cond, null, state.inner)
        return prediction, State(own=own, inner=inner)

    def _tensors(self, model: TextToImage) -> dict[str, Tensor]:
        return dict(model.encode(self.text).tensors)  # one row each
