"""Where inversion searches: what its values are, and which conditions they make.

Values are tensors by name with one row a restart. In the token space a name is a text encoder and
a row its soft tokens (k, d); in the condition spaces a name is a tensor of `Condition`; the simplex
space, of real words, is in `excise.primitives.words`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from excise.errors import BadSetting
from excise.primitives.bands import banded
from excise.primitives.vocabulary import Frame, vocabulary, word_vectors
from excise.primitives.words import SimplexSpace
from excise.rng import generator
from excise.types import Condition, Prompt, TextToImage

Name = Literal["token", "condition", "step_condition", "simplex"]
Values = Mapping[str, Tensor]

SOFT = "<1>"
"""The word of a template that soft tokens stand for."""

# What an attacker on the conditioning may choose; sizes and crops (SDXL's time_ids) are no text.
_FREE = ("hidden", "pooled")


class Space(Protocol):
    """A space for a model; a working object, made for one search."""

    @property
    def scale(self) -> Mapping[str, float]:
        """Root mean square by name of ordinary values: the unit of learning rates and jitter."""

    def start(self, rows: Sequence[int], seed: int, init: str, jitter: float) -> dict[str, Tensor]:
        """Where the rows begin: at the words ``init`` and some noise, or each at random words."""

    def tried(self, values: Values, seed: int, rows: Sequence[int], step: int) -> Values:
        """What a step tries of the values of some rows, each with draws of its own."""

    def settled(self, values: Values) -> Values:
        """What is handed over at the end."""

    def conditions(self, values: Values) -> Condition:
        """One row of condition a row of values; differentiable."""

    def prompts(self, values: Values) -> tuple[Prompt, ...]:
        """One prompt a row of values; none where no prompt can hold them."""

    def project(self, values: Values) -> None:
        """Put values, in place, back into what the space allows."""

    def features(self, values: Values) -> Tensor:
        """Rows as vectors (K, D) whose cosines say how alike they are."""

    def word(self, text: str) -> Tensor:
        """Where a word lies among the features, (D,)."""


def space_for(
    model: TextToImage,
    name: Name,
    *,
    template: str,
    tokens: int = 1,
    norms: tuple[float, float] = (0.0, 1.0),
    bands: int = 10,
) -> Space:
    """The space of that name for a model.

    Raises:
        BadSetting: the template does not hold ``<1>`` once.
    """
    if template.count(SOFT) != 1:
        raise BadSetting(f"expected {SOFT} once in the template, got {template!r}; write, say, "
                         f"'a picture of {SOFT}'")  # fmt: skip
    if name == "simplex":
        before, _, after = template.partition(SOFT)
        parts = (before.strip(), *[None] * tokens, after.strip())
        frame = Frame(tuple(part for part in parts if part != ""))
        return SimplexSpace(model, [frame])
    if name == "token":
        return TokenSpace(model, template, tokens, norms)
    return ConditionSpace(model, template, bands if name == "step_condition" else None)


class _AsItIs:
    """What is tried at a step, and handed over at the end, are the values themselves."""

    def tried(self, values: Values, seed: int, rows: Sequence[int], step: int) -> Values:
        """The values."""
        return values

    def settled(self, values: Values) -> Values:
        """The values."""
        return values


class TokenSpace(_AsItIs):
    """Soft tokens in a template, their norms within the vocabulary's.

    norms: the quantiles of the vocabulary's norms that bound a soft token's, 0 and 1 its range.
    """

    def __init__(
        self, model: TextToImage, template: str, tokens: int, norms: tuple[float, float]
    ) -> None:
        self._model, self._template, self._tokens = model, template, tokens
        self._tables = {name: vocabulary(model, name) for name in model.encoders}
        self.scale = {name: _rms(table) for name, table in self._tables.items()}
        self.bounds: dict[str, tuple[float, float]] = {}
        for name, table in self._tables.items():
            low, high = torch.quantile(table.float().norm(dim=1), table.new_tensor(norms).float())
            self.bounds[name] = (float(low), float(high))

    def start(self, rows: Sequence[int], seed: int, init: str, jitter: float) -> dict[str, Tensor]:
        """(K, k, d) by encoder."""
        values: dict[str, Tensor] = {}
        for name, table in self._tables.items():
            if init:
                words = word_vectors(self._model, name, init)
                index = torch.arange(self._tokens, device=words.device) % len(words)
                one = words[index].float()  # (k, d)
                noisy = [one + jitter * self.scale[name] * _normal(one, seed, r) for r in rows]
                values[name] = torch.stack(noisy)
            else:
                # One share of the table a token, so that encoders with one vocabulary agree.
                shares = [torch.rand(self._tokens, generator=generator(seed, "words", r))
                          for r in rows]  # fmt: skip
                ids = (torch.stack(shares) * len(table)).long().to(table.device)  # (K, k)
                values[name] = table[ids].float()  # (K, k, d)
        self.project(values)
        return values

    def conditions(self, values: Values) -> Condition:
        """The template with each row's soft tokens, encoded."""
        return self._model.encode_soft(self._template, {SOFT: dict(values)})

    def prompts(self, values: Values) -> tuple[Prompt, ...]:
        """The template with each row's soft tokens."""
        rows = range(len(next(iter(values.values()))))
        return tuple(
            Prompt(self._template, {SOFT: {name: v[row] for name, v in values.items()}})
            for row in rows
        )

    @torch.no_grad()
    def project(self, values: Values) -> None:
        """Scale each token to the nearest norm within the bounds."""
        for name, value in values.items():
            norm = value.norm(dim=-1, keepdim=True)  # (K, k, 1)
            low, high = self.bounds[name]
            # A token of norm zero has no direction to be scaled along.
            value.mul_(norm.clamp(low, high) / norm.clamp_min(1e-12))

    def features(self, values: Values) -> Tensor:
        """The tokens themselves, one after the other."""
        return torch.cat([v.flatten(1) / self.scale[n] for n, v in values.items()], dim=1)

    def word(self, text: str) -> Tensor:
        """The mean of the word's tokens, in the place of every soft token."""
        parts = [
            word_vectors(self._model, name, text).float().mean(0).repeat(self._tokens) / scale
            for name, scale in self.scale.items()
        ]
        return torch.cat(parts)


class ConditionSpace(_AsItIs):
    """The whole conditioning, padding and all; one for each band of levels if ``bands`` is given.

    The features are differences from the encoding of the template without its soft word: the
    encodings themselves share so much that their cosines are all close to 1.
    """

    def __init__(self, model: TextToImage, template: str, bands: int | None) -> None:
        self._model, self._template, self._bands = model, template, bands
        plain = model.encode(" ".join(template.replace(SOFT, " ").split())).detach()
        self._plain = Condition(tensors=plain.tensors)  # what is found is no prompt's
        self._names = [name for name in _FREE if name in plain.tensors]
        self.scale = {name: _rms(plain.tensors[name]) for name in self._names}

    @torch.no_grad()
    def start(self, rows: Sequence[int], seed: int, init: str, jitter: float) -> dict[str, Tensor]:
        """(K, L, d) and the like by name; (K, bands, L, d) with bands."""
        if init:
            cond = self._model.encode(self._template.replace(SOFT, init)).expand(len(rows))
        else:
            words = TokenSpace(self._model, self._template, 1, (0.0, 1.0))
            cond = words.conditions(words.start(rows, seed, "", 0.0))
        values: dict[str, Tensor] = {}
        for name in self._names:
            value = cond.tensors[name].detach().float().clone()  # (K, ...)
            if init:
                unit = jitter * self.scale[name]
                value += unit * torch.stack([_normal(value[0], seed, r) for r in rows])
            values[name] = self._per_band(value).contiguous()
        return values

    def conditions(self, values: Values) -> Condition:
        """The values as they are, beside what the model adds to every condition."""
        rows = len(next(iter(values.values())))
        plain = self._plain.expand(rows)
        return plain.replace(**values) if self._bands is None else banded(plain, values)

    def prompts(self, values: Values) -> tuple[Prompt, ...]:
        """None: a conditioning is no prompt's."""
        return ()

    def project(self, values: Values) -> None:
        """Everything is allowed."""

    def features(self, values: Values) -> Tensor:
        """Differences from the plain template."""
        return torch.cat([self._difference(n, v) for n, v in values.items()], dim=1)

    @torch.no_grad()
    def word(self, text: str) -> Tensor:
        """The difference that the word makes in the template."""
        cond = self._model.encode(self._template.replace(SOFT, text))
        values = {name: self._per_band(cond.tensors[name].float()) for name in self._names}
        return self.features(values)[0]

    def _difference(self, name: str, value: Tensor) -> Tensor:
        plain = self._per_band(self._plain.tensors[name].float())
        return (value - plain).flatten(1) / self.scale[name]  # (K, D)

    def _per_band(self, value: Tensor) -> Tensor:
        if self._bands is None:
            return value
        return value.unsqueeze(1).expand(-1, self._bands, *value.shape[1:])  # (K, bands, ...)


def _normal(like: Tensor, seed: int, row: int) -> Tensor:
    return torch.randn(like.shape, generator=generator(seed, "start", row)).to(like)


def _rms(value: Tensor) -> float:
    return float(value.float().square().mean().sqrt())
