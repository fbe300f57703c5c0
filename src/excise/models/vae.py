"""Pictures to latents and back, through the pipeline's autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def encode(vae: Any, pictures: Tensor) -> Tensor:
    """The mean of the latents, scaled as the denoiser reads them, in float32.

    pictures: (n, 3, h, w), uint8 or in [0, 1]. Gradients flow where the pictures take them.
    """
    floats = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()
    shift, scale = _affine(vae)
    with torch.set_grad_enabled(torch.is_grad_enabled() and floats.requires_grad), _safe(vae):
        weight = next(vae.parameters())
        means = [
            vae.encode((2 * part - 1).to(weight)).latent_dist.mean.float()
            for part in torch.split(floats, _at_once(*floats.shape[-2:]))
        ]
        return (torch.cat(means) - shift) * scale


def decode(vae: Any, latents: Tensor, *, autocast: bool = False) -> Tensor:
    """Pictures (n, 3, h, w) in [0, 1], in float32. Gradients flow where the latents take them.

    autocast: in bfloat16 where PyTorch thinks it safe.
    """
    fast = torch.autocast(latents.device.type, torch.bfloat16, enabled=autocast)
    grads = torch.set_grad_enabled(torch.is_grad_enabled() and latents.requires_grad)
    with grads, _safe(vae), fast:
        weight = next(vae.parameters())
        shift, scale = _affine(vae)
        out = vae.decode((latents.float() / scale + shift).to(weight), return_dict=False)[0]
        result: Tensor = (out.float() / 2 + 0.5).clamp(0, 1)
        return result


def _at_once(height: int, width: int) -> int:
    """Pictures encoded at once, from their size alone: 256 at 64x64, 4 at 512x512."""
    return min(256, max(1, 2**20 // (height * width)))


def _affine(vae: Any) -> tuple[float, float]:
    """Shift and scale: what the denoiser reads is (latents - shift) * scale."""
    shift = getattr(vae.config, "shift_factor", None)
    return float(shift or 0.0), float(vae.config.scaling_factor)


@contextmanager
def _safe(vae: Any) -> Iterator[None]:
    """In float32 for the length of a call, if this autoencoder overflows in float16 (SDXL's does).

    Going to float32 and back is exact.
    """
    weight = next(vae.parameters())
    upcast = weight.dtype == torch.float16 and bool(getattr(vae.config, "force_upcast", False))
    try:
        if upcast:
            vae.to(torch.float32)
        yield
    finally:
        if upcast:
            vae.to(torch.float16)
