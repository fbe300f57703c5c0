"""The autoencoder: 64x64 pictures to 8x8x16 latents, a diffusers `AutoencoderKL`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.resnet import Downsample2D, ResnetBlock2D, Upsample2D
from torch import Tensor

from excise.emoji.glyphs import Atlas
from excise.emoji.pool import Pictures, draw_pool, everything
from excise.emoji.training import Log, Schedule, device, fast_math, fit

CHANNELS = (16, 32, 96, 144)
# Small batches: at this size the number of steps counts, not the noise of a step.
GROUPS = 4
SCHEDULE = Schedule(steps=10_000, lr=6e-4, betas=(0.9, 0.99), ema=0.998)
BATCH = 8
PICTURES = 24_000
KL_WEIGHT = 2e-6


def make() -> AutoencoderKL:
    """An untrained autoencoder, initialised from the global generator."""
    model: AutoencoderKL = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=GROUPS,
        sample_size=64,
    )
    _initialise(model)
    return model


@torch.no_grad()
def _initialise(model: AutoencoderKL) -> None:
    """Start as a nearly linear map that keeps the size of signals.

    With diffusers' own initialisation colours are learnt one axis at a time: after 200 steps the L1
    distance was 0.37 instead of 0.23. Residual branches begin at zero (Goyal et al. 2017,
    arXiv:1706.02677, section 5.1), the convolutions between them keep the variance, and the
    posterior begins narrow, so that its noise does not drown means that are not trained yet.
    """
    for module in model.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.zero_()
            module.conv2.bias.zero_()
            if module.conv_shortcut is not None:
                module.conv_shortcut.weight.mul_(math.sqrt(3))
        elif isinstance(module, Downsample2D | Upsample2D):
            module.conv.weight.mul_(math.sqrt(3))
    for half in (model.encoder, model.decoder):
        half.mid_block.attentions[0].to_out[0].weight.zero_()
        half.conv_in.weight.mul_(math.sqrt(3))
        half.conv_out.weight.mul_(math.sqrt(3))
    bias = model.quant_conv.bias
    bias[len(bias) // 2 :] = -6.0


def to_tensor(pictures: Pictures) -> Tensor:
    """(n, 64, 64, 3) uint8 -> (n, 3, 64, 64) in [-1, 1]."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    return x.div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def _gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def picture_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 of the pictures, of their gradients (sharp edges) and of 4x4 means (true colours)."""
    loss = F.l1_loss(output, target)
    loss = loss + F.l1_loss(F.avg_pool2d(output, 4), F.avg_pool2d(target, 4))
    for a, b in zip(_gradients(output), _gradients(target), strict=True):
        loss = loss + F.l1_loss(a, b)
    return loss


def train(state: Path, *, seed: int, log: Log) -> AutoencoderKL:
    """Train on renders of every glyph; what is returned knows its scaling factor."""
    torch.manual_seed(seed)
    where = device()
    model = make().to(where, memory_format=torch.channels_last)
    pictures, _ = draw_pool(everything(Atlas()), seed, PICTURES)
    log(f"{PICTURES} pictures rendered")

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        x = to_tensor(pictures[np.sort(rng.choice(PICTURES, BATCH, replace=False))]).to(where)
        noise = torch.from_numpy(rng.standard_normal((BATCH, 16, 8, 8), np.float32)).to(where)
        with fast_math():
            posterior = model.encode(x).latent_dist
            output = model.decode(posterior.mean + posterior.std * noise).sample
        kl = posterior.kl().float().mean()
        value: Tensor = picture_loss(output.float(), x) + KL_WEIGHT * kl
        return value

    fit(model, loss, SCHEDULE, seed=seed, state=state, log=log)
    latents = encode(model, pictures[:2048])
    model.register_to_config(scaling_factor=float(1 / latents.std()))
    return model


@torch.no_grad()
def encode(model: AutoencoderKL, pictures: Pictures, batch: int = 128) -> Tensor:
    """Posterior means, (n, 16, 8, 8), not scaled."""
    where = next(model.parameters()).device
    parts = []
    for i in range(0, len(pictures), batch):
        with fast_math():
            parts.append(
                model.encode(to_tensor(pictures[i : i + batch]).to(where)).latent_dist.mean
            )
    return torch.cat(parts).float().cpu()
