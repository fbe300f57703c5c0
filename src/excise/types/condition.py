"""What a text-to-image network is conditioned on: named tensors, one row a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from excise.errors import UserError

PUNCTUATION = ".,;:!?\"'()"
Index = slice | Sequence[int] | Tensor


@dataclass(frozen=True)
class Span:
    """Tokens ``start`` (included) to ``stop`` (excluded) that one word of the prompt became.

    Punctuation written right after a word belongs to ``word`` but not to the tokens.
    ``word`` is the word as written, or the name of a soft token such as ``<1>``.
    """

    word: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Tokens:
    """How one encoder cut the prompts into tokens.

    ids: int64 (n, L), with the placeholder's id where a soft vector was injected.
    mask: bool (n, L), true from the first special token to the end token, false on padding.
    spans: one tuple a row, in reading order; words cut off by the length limit are missing.
    """

    ids: Tensor
    mask: Tensor
    spans: tuple[tuple[Span, ...], ...]

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, index: Index) -> Tokens:
        rows = _rows(index, len(self))
        return Tokens(
            ids=self.ids[rows], mask=self.mask[rows], spans=tuple(self.spans[i] for i in rows)
        )

    def find(self, row: int, phrase: str) -> tuple[int, int] | None:
        """Positions (start, stop) of the first occurrence of a phrase, or None.

        Whole words count, in any case, without the punctuation around them.
        """
        words = phrase.lower().split()
        spans = self.spans[row]
        texts = [span.word.lower().strip(PUNCTUATION) for span in spans]
        for i in range(len(spans) - len(words) + 1):
            if words and texts[i : i + len(words)] == words:
                return spans[i].start, spans[i + len(words) - 1].stop
        return None

    def last(self, row: int) -> int:
        """Position of the last token before the end token; 0 in an empty prompt."""
        return max(int(self.mask[row].sum()) - 2, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Condition:
    """A frozen record of named tensors, the first axis of each being the prompt.

    tensors: what the network reads, by name: ``hidden`` (n, L, d) in every family here,
        ``pooled`` (n, p) and ``time_ids`` (n, 6) in some. A hook at ``condition`` may add its
        own names; networks ignore names that they do not know.
    tokens: by encoder, how the prompts were cut. Empty for a condition that is no prompt's.
    """

    tensors: Mapping[str, Tensor]
    tokens: Mapping[str, Tokens] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = {name: len(value) for name, value in self.tensors.items()}
        rows |= {f"tokens of {name}": len(value) for name, value in self.tokens.items()}
        if not self.tensors or len(set(rows.values())) != 1:
            raise UserError(
                f"expected one or more tensors with the same number of rows, got {rows}; "
                "give every tensor of a condition one row a prompt"
            )
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "tokens", MappingProxyType(dict(self.tokens)))

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, index: Index) -> Condition:
        """Rows by slice, list of integers, or integer or boolean tensor; never drops the axis."""
        rows = _rows(index, len(self))
        return Condition(
            tensors={name: value[rows] for name, value in self.tensors.items()},
            tokens={name: value[rows] for name, value in self.tokens.items()},
        )

    @property
    def hidden(self) -> Tensor:
        """The token states (n, L, d) that the network attends to."""
        return self.tensors["hidden"]

    @property
    def requires_grad(self) -> bool:
        """Does a gradient flow through any of the tensors?"""
        return any(value.requires_grad for value in self.tensors.values())

    def map(self, function: Callable[[Tensor], Tensor]) -> Condition:
        """The same record with ``function`` applied to each floating-point tensor."""
        return self.replace(
            **{k: function(v) for k, v in self.tensors.items() if v.is_floating_point()}
        )

    def replace(self, **tensors: Tensor) -> Condition:
        """The same record with these tensors put in the place of, or added to, its own."""
        return Condition(tensors={**self.tensors, **tensors}, tokens=self.tokens)

    def detach(self) -> Condition:
        """The same record without gradients."""
        return self.map(Tensor.detach)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Condition:
        """On another device, the floating-point tensors in ``dtype`` if one is given."""
        moved = {
            name: value.to(device, dtype if value.is_floating_point() else None)
            for name, value in self.tensors.items()
        }
        return Condition(tensors=moved, tokens=self.tokens)

    def repeat(self, times: int) -> Condition:
        """Each row ``times`` times in a row: a, a, b, b."""
        return self[[row for row in range(len(self)) for _ in range(times)]]

    def expand(self, n: int) -> Condition:
        """Itself if it has ``n`` rows; its one row ``n`` times if it has one."""
        if len(self) == n:
            return self
        if len(self) != 1:
            raise UserError(f"expected a condition of 1 or {n} rows, got {len(self)}")
        return self[[0] * n]

    @staticmethod
    def cat(conditions: Sequence[Condition]) -> Condition:
        """The rows of all, in order; tokens are kept for the encoders that all of them name.

        Other names or row shapes are an error, since leaving out or padding changes predictions.
        """
        if not conditions:
            raise UserError("expected at least one condition to concatenate, got none")
        shapes = [{n: tuple(v.shape[1:]) for n, v in c.tensors.items()} for c in conditions]
        if any(other != shapes[0] for other in shapes):
            raise UserError(f"expected conditions of equal names and row shapes, got {shapes}")
        names = list(conditions[0].tensors)
        encoders = [n for n in conditions[0].tokens if all(n in c.tokens for c in conditions)]
        return Condition(
            tensors={n: torch.cat([c.tensors[n] for c in conditions]) for n in names},
            tokens={n: _cat_tokens([c.tokens[n] for c in conditions]) for n in encoders},
        )


def _cat_tokens(tokens: Sequence[Tokens]) -> Tokens:
    return Tokens(
        ids=torch.cat([t.ids for t in tokens]),
        mask=torch.cat([t.mask for t in tokens]),
        spans=tuple(row for t in tokens for row in t.spans),
    )


def _rows(index: Index, n: int) -> list[int]:
    if isinstance(index, slice):
        return list(range(n))[index]
    if isinstance(index, Tensor):
        index = index.nonzero().flatten() if index.dtype == torch.bool else index
        return [int(i) for i in index]
    return [int(i) for i in index]
