"""The words that a prompt can be made of, one token each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from excise.errors import UserError


@dataclass(frozen=True, eq=False, kw_only=True)
class Lexicon:
    """Every word that each text encoder of a model reads as one ordinary token.

    A prompt of such words, with spaces between them, is read back as the very tokens that are
    meant; most other sequences of tokens are not what any text is cut into.

    words: W texts without spaces. ids: by encoder, int64 (W,), the token of each.
    """

    words: tuple[str, ...]
    ids: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        sizes = {name: len(ids) for name, ids in self.ids.items()}
        if not sizes or set(sizes.values()) != {len(self.words)}:
            raise UserError(f"expected an id a word and encoder, got {len(self.words)} words and "
                            f"{sizes}")  # fmt: skip
        object.__setattr__(self, "ids", MappingProxyType(dict(self.ids)))

    def __len__(self) -> int:
        return len(self.words)

    def text(self, rows: Sequence[int]) -> str:
        """Some of the words, by number, with spaces between them."""
        return " ".join(self.words[row] for row in rows)
