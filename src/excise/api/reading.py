"""Whether a model reads texts to their ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from excise.errors import UserError
from excise.types import Prompt, TextToImage


def check_read(model: TextToImage, texts: Sequence[str | Prompt], what: str) -> None:
    """Raises UserError for a text of which every encoder of the model leaves out the end.

    what: is called so in the message. Texts with soft tokens are left to `encode`.
    """
    plain = [prompt for prompt in Prompt.of(texts) if not prompt.soft]
    if not plain:
        return
    with torch.no_grad():
        tokens = model.encode(plain).tokens
    for row, prompt in enumerate(plain):
        words = prompt.text.split()
        # A text that was cut off fills all places there are, and has words that stand nowhere.
        read = {
            name: len(each.spans[row])
            for name, each in tokens.items()
            if bool(each.mask[row].all()) and len(each.spans[row]) < len(words)
        }
        if read.keys() == tokens.keys():
            most = max(tokens, key=lambda name: tokens[name].ids.shape[1])
            raise UserError(
                f"expected {what} that {model.name!r} reads to its end, which has places for "
                f"{tokens[most].ids.shape[1]} tokens, got {len(words)} words, of which it reads "
                f"{max(read.values())}: {_short(prompt.text)!r}; shorten it"
            )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
