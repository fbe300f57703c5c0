"""Which kernels a backward pass runs on: the one place that knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.attention import SDPBackend, sdpa_kernel

from excise.types import TextToImage

# Latent positions up to which plain attention, which keeps every map, is worth its memory.
PLAIN_UP_TO = 1024


@contextmanager
def for_gradients(model: TextToImage) -> Iterator[None]:
    """Attention as it is differentiated fastest.

    On a CPU, in bfloat16, the backward pass of the fused kernel is slower than plain matrix
    products, but those keep a map of (heads, positions, positions) a layer: too much for large
    pictures. In float32 the fused kernel is the faster one.
    """
    _, height, width = model.latent_shape
    bfloat16 = model.precision.startswith("bfloat16")
    if model.device.type == "cpu" and bfloat16 and height * width <= PLAIN_UP_TO:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    else:
        yield
