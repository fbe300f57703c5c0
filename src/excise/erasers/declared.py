"""What methods declare that they need of a model, and whether a model has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from excise.types import TextToImage

Need = Literal["text_readers", "unconditional", "feed_forward", "clip_text"]
"""Of a model: weights in the denoiser that read a prompt's encoding as it is; a prediction that is
guided away from; feed-forward networks in the denoiser; no text encoder but CLIP's."""

Given = Literal["words", "pictures"]
"""What a concept may be given by. With "pictures", also one that no prompt can name."""

SECOND = ".ff.net.2.weight"  # the second linear layer of a feed-forward network


def _reads(model: TextToImage) -> bool:
    there = model.encode("").tensors
    return any(one.feature in there for one in model.text_projections())


def _clip(model: TextToImage) -> bool:
    return all(
        any(".encoder.layers." in name and ".mlp.fc" in name for name in model.parameters(encoder))
        for encoder in model.encoders
    )


HAS: Mapping[Need, Callable[[TextToImage], bool]] = {
    "text_readers": _reads,
    "unconditional": lambda model: model.null() is not None,
    "feed_forward": lambda model: any(n.endswith(SECOND) for n in model.parameters("denoiser")),
    "clip_text": _clip,
}

SAID: Mapping[Need, str] = {
    "text_readers": "weights that read a prompt's encoding as it is",
    "unconditional": "an unconditional that it is guided away from",
    "feed_forward": "feed-forward networks in the denoiser",
    "clip_text": "text encoders that are all CLIP's",
}
"""What is missed, as lists, messages and the docs say it: "it needs ..."."""


def lacking(model: TextToImage, needs: Iterable[Need]) -> tuple[Need, ...]:
    """Of what is needed, what a model has not, in the order of `HAS`."""
    wanted = set(needs)
    return tuple(need for need, has in HAS.items() if need in wanted and not has(model))
