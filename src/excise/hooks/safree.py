"""SAFREE: take the words that lead towards a concept out of the text embeddings, prompt by prompt.

Yoon et al. 2024, "SAFREE: Training-Free and Adaptive Guard for Safe Text-to-Image And Video
Generation" (arXiv:2410.12761), section 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadSetting
from excise.hooks.base import Gradient, Hook
from excise.hooks.places import places
from excise.hooks.reattention import decoded, twinned
from excise.hooks.words import Words, outliers, sentence, straight_through, within, words_of
from excise.settings import recipe
from excise.types import Call, Condition, Denoise, Prompt, Span, State, Step, TextToImage


@dataclass(frozen=True, eq=False, kw_only=True)
class SAFREE(Hook):
    """Project trigger words out of the concept's subspace, within the prompt's, for some steps.

    C is spanned by the sentence states of the phrases, I by those of the prompt with each word
    masked in turn; a sentence state is that of the end token. Word i is a trigger if the distance
    d_i = ||(1 - P_C) p_i|| of the prompt without it is at least (1 + alpha) times the mean of the
    others' (eqs. 2 to 4). A trigger's token states e become (1 - P_C) P_I e: the order of the
    authors' code, which leaves nothing in C; eq. 5 prints the other. A prompt of one word, which
    has no others, is compared with itself unmasked.

    The filter (eq. 6) says for how many steps: t' = round(steps sigmoid(2 slope (10 b - middle))),
    with b = 1 - the mean cosine, over all tokens of the prompt, of e and (1 - P_C) P_I e. The
    figures are the authors' code's, for 50 steps; it counts them from 0 and includes t', which is
    one step more than here.

    Words stand where the paper has tokens: the same, but that a word of several tokens is masked
    and replaced as one. States of encoders side by side are one vector; where a text is encoded
    twice (CLIP and T5), each decides by itself; a pooled state is projected where there is any
    trigger, of which the paper says nothing. A bare conditioning has no words: all of it is taken
    for triggers, and the whole space for I.

    phrases: what spans C. mask: the word that masks; the authors' token 0 of CLIP is a ``!``.
    filter: False keeps the projection at every step. reattention: the factors of `reattention` in
        the first blocks of a U-Net's decoder, the authors' being (0.9, 0.2); none leaves it out. It
        needs an unconditional and costs one evaluation more while a prompt is changed.
    """

    name: ClassVar[str] = "safree"
    gradient: ClassVar[Gradient] = "straight-through"

    phrases: tuple[str, ...]
    alpha: float = 0.01
    filter: bool = True
    steps: int = 10
    slope: float = 2.5
    middle: float = 5.333
    mask: str = "!"
    reattention: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.phrases or not all(phrase.strip() for phrase in self.phrases):
            raise BadSetting(f"{self.name}: expected one or more phrases, got {self.phrases}")
        if any(factor < 0 for factor in self.reattention):
            raise BadSetting(
                f"{self.name}: expected factors >= 0 for reattention, got {self.reattention}"
            )
        if self.alpha < 0 or self.steps < 0 or len(self.mask.split()) != 1:
            raise BadSetting(
                f"{self.name}: expected alpha >= 0, steps >= 0 and one word as the mask, got "
                f"{self.alpha}, {self.steps} and {self.mask!r}"
            )

    def condition(
        self,
        model: TextToImage,
        prompts: tuple[Prompt, ...],
        cond: Condition,
        null: Condition | None,
    ) -> tuple[Condition, Condition | None]:
        """Put beside each tensor of text the difference that the projection makes, and t' (n, 1).

        For the unconditional all are 0.
        """
        self._reads_mask(model)
        concept = model.encode(self.phrases)
        rows = [
            self._row(model, concept, cond, row, words)
            for row, words in enumerate(words_of(prompts, cond))
        ]
        own = {self._beside(name): torch.stack([row[name] for row in rows]) for name in rows[0]}
        if null is not None:
            null = null.replace(
                **{name: v.new_zeros(len(null), *v.shape[1:]) for name, v in own.items()}
            )
        return cond.replace(**own), null

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
        """One step with the projected states in it, or without them once t' steps are done."""
        safe, plain, index = self._at(cond, step.index), self._plain(cond), step.index
        null = None if null is None else self._at(null, index)
        step = replace(step, terms=tuple((self._at(t, index), weight) for t, weight in step.terms))
        changed = safe.hidden.detach().ne(plain.hidden).flatten(1).any(dim=1)  # (n,)
        if self.reattention and null is not None and bool(changed.any()):
            role = f"{self._key}/role"
            step, safe, null = twinned(step, role, safe, plain, null, changed)
        out, inner = denoise(x, step, safe, null, state.inner)
        return out, State(own=state.own, inner=inner)

    @property
    def modules(self) -> tuple[str, ...]:
        """The decoder's first blocks, where there is latent re-attention."""
        return tuple(f"unet.up_blocks.{i}" for i in range(len(self.reattention)))

    def module(
        self,
        call: Call,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """A decoder block with damped skip features, where a prompt stands beside its twin."""
        roles = None if call.cond is None else call.cond.tensors.get(f"{self._key}/role")
        if roles is None:
            return forward(*args, **kwargs)
        scale = self.reattention[int(call.module.rpartition(".")[2])]
        return decoded(roles, scale, forward, args, kwargs)

    def _row(
        self, model: TextToImage, concept: Condition, cond: Condition, row: int, words: Words | None
    ) -> dict[str, Tensor]:
        """The differences at one row by the tensor's name, and ``steps``, t' before rounding."""
        masked = None if words is None else model.encode(words.masked(self.mask))
        own: dict[str, Tensor] = {}
        triggers: list[Tensor] = []
        cosines: list[Tensor] = []
        # The pooled state comes last: the tokens decide what becomes of it.
        for place, encoder in sorted(places(model).items(), key=lambda item: item[0].rows is None):
            away = sentence(concept, place, encoder)  # (phrases, d)
            spans: tuple[Span, ...] | None = None
            masks = away[:0]
            said: Tensor | slice = slice(None)
            if words is not None and masked is not None:
                tokens = cond.tokens[encoder]
                spans, said = tokens.spans[row], tokens.mask[row].to(away.device)
                masks = sentence(masked, place, encoder)  # (words + 1, d), the last unmasked
                if words.words and not spans:
                    spans = None  # its tokens cannot be told apart by words
            for name in place.named(cond):
                value = cond.tensors[name][row]
                states = place.take(value)  # (..., T, d), or (..., d)
                safe = states if spans is None else within(states, masks[: len(spans)])
                safe = safe - within(safe, away)
                if place.rows is None:
                    weight = torch.stack(triggers).max()
                else:
                    weight = self._weights(states, spans, masks, away)  # (T, 1)
                    triggers.append(weight.max())
                    cosines.append(F.cosine_similarity(safe, states, dim=-1)[..., said].flatten())
                before = own.get(name, torch.zeros_like(value))
                own[name] = place.put(before, weight * (safe - states))
        b = 1 - torch.cat(cosines).mean()
        steps = self.steps * torch.sigmoid(2 * self.slope * (10 * b - self.middle))  # eq. 6
        return {**own, "steps": steps[None].to(cond.hidden)}

    def _weights(
        self, states: Tensor, spans: tuple[Span, ...] | None, masks: Tensor, away: Tensor
    ) -> Tensor:
        """1 at the tokens of triggers, 0 at others: (T, 1)."""
        length = states.shape[-2]
        if spans is None:
            return states.new_ones(length, 1)
        distances = (masks - within(masks, away)).norm(dim=-1)  # (words + 1,)
        word = outliers(distances[: len(spans)], distances[-1], self.alpha)  # (words,)
        at = word.new_zeros(length, len(spans))
        for j, span in enumerate(spans):
            at[span.start : span.stop, j] = 1
        return at @ word[:, None]  # (T, words) x (words, 1)

    def _at(self, cond: Condition, index: int) -> Condition:
        """The condition at a step, without what this hook has put beside it."""
        tensors = dict(self._plain(cond).tensors)
        gate = cond.tensors.get(self._beside("steps"))  # (n, 1)
        if gate is None:  # it came from elsewhere, past ``condition``
            return cond
        if self.filter:
            gate = straight_through(index < gate.round(), torch.sigmoid(gate - index - 0.5))
        else:
            gate = torch.ones_like(gate)
        for name, value in tensors.items():
            change = cond.tensors.get(self._beside(name))
            if change is not None:
                tensors[name] = value + gate.view(-1, *[1] * (value.dim() - 1)) * change
        return Condition(tensors=tensors, tokens=cond.tokens)

    def _plain(self, cond: Condition) -> Condition:
        """The condition without what this hook has put beside it."""
        tensors = {n: v for n, v in cond.tensors.items() if self._key not in n}
        return Condition(tensors=tensors, tokens=cond.tokens)

    @property
    def _key(self) -> str:
        """Names what it puts into a condition; guards with other settings have their own."""
        settings = json.dumps(recipe(self), sort_keys=True)
        return f"safree-{sha256(settings.encode()).hexdigest()[:12]}"

    def _beside(self, name: str) -> str:
        """``hidden`` to ``safree-.../of-hidden``; what stands before a slash stays there."""
        before, slash, last = name.rpartition("/")
        return f"{before}{slash}{self._key}/of-{last}"

    def _reads_mask(self, model: TextToImage) -> None:
        """Raise BadSetting if the mask is a word that an encoder does not know.

        CLIP reads an unknown word as the end of the text.
        """
        for encoder, tokens in model.encode(self.mask).tokens.items():
            end = int(tokens.mask[0].sum()) - 1
            if any((tokens.ids[0, s.start : s.stop] == tokens.ids[0, end]).any()
                   for s in tokens.spans[0]):  # fmt: skip
                raise BadSetting(
                    f"{self.name}: expected a mask that is a word to {encoder}, got {self.mask!r}; "
                    "give it another, such as 'x'"
                )
