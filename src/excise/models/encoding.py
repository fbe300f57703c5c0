"""Prompts to conditions: cut, inject, encode, remember."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from excise.errors import UserError
from excise.models.soft import injected, width
from excise.models.tokens import Cut, Cutter, Injection
from excise.types import Condition, Prompt


@dataclass(frozen=True, eq=False)
class Encoder:
    """A text encoder with its tokenizer."""

    module: Any
    cutter: Cutter

    @property
    def width(self) -> int:
        """The width of its token embedding."""
        return width(self.module)

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of its weights."""
        dtype: torch.dtype = next(self.module.parameters()).dtype
        return dtype

    def run(self, cut: Cut, injection: Injection | None, **options: Any) -> Any:
        """The encoder's output for a batch, with soft vectors in place."""
        device = next(self.module.parameters()).device
        with injected(self.module, injection):
            return self.module(cut.tokens.ids.to(device), **options)


CHUNK = 64  # texts that are encoded at once
Combine = Callable[[Mapping[str, Cut], Mapping[str, Injection | None]], dict[str, Tensor]]


class Encoding:
    """The encoders of a model, and the conditions of texts that were encoded before.

    combine: the family's own: runs the encoders on a batch and names what comes out.
    remember, most: how many batches are remembered, and how many bytes of them; the last always.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        combine: Combine,
        remember: int = 64,
        most: int = 256 * 1024**2,
    ):
        self.encoders = encoders
        self._combine = combine
        self._remember, self._most = remember, most
        self._memory: OrderedDict[Hashable, Condition] = OrderedDict()

    def encode(self, prompts: Sequence[Prompt], applied: Hashable) -> Condition:
        """One row a prompt; ``applied`` names the edits that the encoders stand under.

        Equal texts are encoded once. What is remembered is a whole batch: a row's last bits depend
        on the batch around it, and the same call must give the same bytes.
        """
        if not prompts:
            raise UserError("expected at least one prompt, got none")
        texts = tuple(prompt.text for prompt in prompts)
        if any(prompt.soft for prompt in prompts):
            return self._encode(texts, [prompt.soft for prompt in prompts])
        known = list(dict.fromkeys(texts))
        chunks = [tuple(known[i : i + CHUNK]) for i in range(0, len(known), CHUNK)]
        rows = Condition.cat([self._plain(chunk, applied) for chunk in chunks])
        return rows if known == list(texts) else rows[[known.index(text) for text in texts]]

    def _plain(self, texts: tuple[str, ...], applied: Hashable) -> Condition:
        if torch.is_grad_enabled() and self._training():
            return self._encode(texts, [{}] * len(texts))
        key = (applied, self._version(), texts)
        if key not in self._memory:
            with torch.no_grad():
                self._memory[key] = self._encode(texts, [{}] * len(texts))
            while len(self._memory) > 1 and self._full():
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        return self._memory[key]

    def _full(self) -> bool:
        held = sum(t.nbytes for row in self._memory.values() for t in row.tensors.values())
        return len(self._memory) > self._remember or held > self._most

    def encode_soft(self, text: str, soft: Mapping[str, Mapping[str, Tensor]]) -> Condition:
        """K rows of one text, whose soft vectors are (K, k, d) by word and encoder."""
        rows = {len(value) for by in soft.values() for value in by.values()}
        shapes = {f"{w}/{n}": tuple(v.shape) for w, by in soft.items() for n, v in by.items()}
        if len(rows) != 1 or any(len(shape) != 3 for shape in shapes.values()):
            raise UserError(f"expected soft vectors (K, k, d) with one K for all, got {shapes}")
        prompt = Prompt(text, {w: {n: v[0] for n, v in by.items()} for w, by in soft.items()})
        cuts = self._cut((text,), [prompt.soft])
        injections = {
            name: Injection.batched(cut.soft[0], _for_encoder(soft, name))
            for name, cut in cuts.items()
        }
        k = rows.pop()
        repeated = {
            name: Cut(tokens=cut.tokens[[0] * k], soft=cut.soft * k) for name, cut in cuts.items()
        }
        return self._condition(repeated, injections)

    def _encode(
        self, texts: Sequence[str], soft: Sequence[Mapping[str, Mapping[str, Tensor]]]
    ) -> Condition:
        cuts = self._cut(texts, soft)
        injections = {
            name: Injection.of(cut.soft, [_for_encoder(row, name) for row in soft])
            for name, cut in cuts.items()
        }
        return self._condition(cuts, injections)

    def _cut(
        self, texts: Sequence[str], soft: Sequence[Mapping[str, Mapping[str, Tensor]]]
    ) -> dict[str, Cut]:
        lengths = [{word: _length(word, by) for word, by in row.items()} for row in soft]
        strangers = {name for row in soft for by in row.values() for name in by} - set(
            self.encoders
        )
        if strangers:
            raise UserError(
                f"expected soft vectors for encoders among {sorted(self.encoders)}, got them for "
                f"{sorted(strangers)}"
            )
        return {name: e.cutter.cut(texts, lengths) for name, e in self.encoders.items()}

    def _condition(
        self, cuts: Mapping[str, Cut], injections: Mapping[str, Injection | None]
    ) -> Condition:
        tensors = self._combine(cuts, injections)
        return Condition(tensors=tensors, tokens={name: cut.tokens for name, cut in cuts.items()})

    def _training(self) -> bool:
        return any(p.requires_grad for e in self.encoders.values() for p in e.module.parameters())

    def _version(self) -> tuple[tuple[int, int], ...]:
        """Which parameters the encoders have, adapters too, and how often each was written to."""
        return tuple(
            (id(p), p._version) for e in self.encoders.values() for p in e.module.parameters()
        )


def _for_encoder(soft: Mapping[str, Mapping[str, Tensor]], encoder: str) -> dict[str, Tensor]:
    return {word: by[encoder] for word, by in soft.items() if encoder in by}


def _length(word: str, by_encoder: Mapping[str, Tensor]) -> int:
    lengths = {len(value) for value in by_encoder.values()}
    if len(lengths) != 1:
        raise UserError(f"expected as many vectors for {word!r} in every encoder, got {lengths}")
    return lengths.pop()
