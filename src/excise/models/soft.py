"""Soft tokens: vectors put in the place of an encoder's token embeddings.

They enter at the output of the embedding layer, where gradients reach them and the vocabulary
stays as it is: a new token's id would be larger than the end token's, and some configurations of
CLIP pool at the largest id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from excise.errors import UserError
from excise.models.tokens import Injection


@contextmanager
def injected(encoder: Any, injection: Injection | None) -> Iterator[None]:
    """Put the vectors in place while the encoder runs; gradients flow to them."""
    if injection is None:
        yield
        return
    if injection.vectors.shape[-1] != width(encoder):
        raise UserError(
            f"expected soft vectors of width {width(encoder)} for a {type(encoder).__name__}, got "
            f"{injection.vectors.shape[-1]}; the model's `encoders` lists the widths"
        )

    def put(module: nn.Module, args: Any, output: Tensor) -> Tensor:  # (n, L, d) -> (n, L, d)
        where = (injection.rows.to(output.device), injection.columns.to(output.device))
        return output.index_put(where, injection.vectors.to(output.device, output.dtype))

    handles = [layer.register_forward_hook(put) for layer in _embeddings(encoder)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def width(encoder: Any) -> int:
    """The width d of an encoder's token embedding."""
    weight: Tensor = encoder.get_input_embeddings().weight
    return weight.shape[-1]


def _embeddings(encoder: Any) -> list[nn.Module]:
    """The token embedding, and layers tied to it: T5 names one and calls the other."""
    weight = encoder.get_input_embeddings().weight
    return [m for m in encoder.modules() if isinstance(m, nn.Embedding) and m.weight is weight]
