"""A sharper decoder for an autoencoder whose latents stay as they are.

An L1 distance is smallest for the median of what a latent may mean, which is soft. The decoder
alone is trained on with a critic of patches (Isola et al. 2017, arXiv:1611.07004, section 3.2.2),
as in Esser et al. 2021 (arXiv:2012.09841, eq. 7): the critic's weight follows the ratio of the two
gradients at the last layer. The encoder is not touched, so no U-Net has to be trained again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from excise.emoji.autoencoder import encode, picture_loss, to_tensor
from excise.emoji.glyphs import Atlas
from excise.emoji.pool import draw_pool, everything
from excise.emoji.training import Log, Loss, Schedule, device, fast_math, in_turn


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A part of the training. pairs: share of pictures with two objects, which are smaller."""

    schedule: Schedule
    pairs: float


LESSONS = (
    Lesson(
        schedule=Schedule(steps=4000, lr=3e-4, betas=(0.5, 0.99), ema=0.998, warmup=200),
        pairs=0.16,
    ),
    Lesson(
        schedule=Schedule(steps=3000, lr=2e-4, betas=(0.5, 0.99), ema=0.998, warmup=100),
        pairs=0.5,
    ),
)
BATCH = 8
PICTURES = 16_000
SHARE = 0.4
"""Of the critic's gradient at the last layer, in units of that of the distance."""
MATCHED = 0.5
NOISE = 0.08
"""Most noise on a latent, in units of their deviation: a U-Net's are never exact."""
BEGIN = 400
"""Steps before the critic has a say."""


class Critic(nn.Module):
    """Says of each patch of a picture how real it looks; and what it saw on the way."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = (3, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(sizes)
        )
        self.last = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(n, 3, 64, 64) -> (n, 1, 8, 8), and features (n, c, h, w)."""
        seen = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            seen.append(x)
        return self.last(x), seen


class Pair(nn.Module):
    """Decoder and critic, trained side by side by one optimiser."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.inlet, self.decoder, self.critic = vae.post_quant_conv, vae.decoder, Critic()

    def decoded(self, latents: Tensor) -> Tensor:
        """(n, 16, 8, 8), not scaled -> (n, 3, 64, 64) in about [-1, 1]."""
        found: Tensor = self.decoder(self.inlet(latents))
        return found

    def judged(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The critic's opinion, which no gradient reaches but the pictures'."""
        fixed = {name: value.detach() for name, value in self.critic.named_parameters()}
        answer: tuple[Tensor, list[Tensor]] = functional_call(self.critic, fixed, (pictures,))
        return answer


def train(vae: AutoencoderKL, state: Path, *, seed: int, log: Log) -> AutoencoderKL:
    """Train the decoder of an autoencoder on; in place."""
    torch.manual_seed(seed)
    where = device()
    vae.to(where, memory_format=torch.channels_last)
    vae.requires_grad_(False)
    pair = Pair(vae).requires_grad_(True)
    pair.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def losses(number: int) -> Loss:
        world = replace(everything(Atlas()), pair_share=LESSONS[number].pairs)
        pictures, _ = draw_pool(world, seed + 5 + 1000 * number, PICTURES)
        log(f"{PICTURES} pictures rendered")
        return _loss(pair, pictures, encode(vae, pictures), wait=BEGIN if number == 0 else 0)

    in_turn(pair, LESSONS, losses, seed=seed, state=state, log=log)
    return vae.eval()


def _loss(pair: Pair, pictures: NDArray[np.uint8], latents: Tensor, wait: int) -> Loss:
    """Distance and the critic's opinion; that has no say in the first ``wait`` steps."""
    where, unit = device(), float(latents.std())

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        rows = np.sort(rng.choice(PICTURES, BATCH, replace=False))
        real = to_tensor(pictures[rows]).to(where)
        size = unit * NOISE * rng.uniform(0, 1, (BATCH, 1, 1, 1))
        noise = size * rng.standard_normal((BATCH, *latents.shape[1:]))
        z = latents[torch.from_numpy(rows)] + torch.from_numpy(noise.astype(np.float32))
        with fast_math():
            drawn = pair.decoded(z.to(where)).float()
            opinion, seen = pair.judged(drawn)
            _, wanted = pair.judged(real)
            told = pair.critic(torch.cat([real, drawn.detach()]))[0].float()
        near = picture_loss(drawn, real)
        near = (
            near
            + MATCHED
            * torch.stack(
                [F.l1_loss(a.float(), b.float()) for a, b in zip(seen, wanted, strict=True)]
            ).mean()
        )
        good, bad = told.chunk(2)
        critic = F.relu(1 - good).mean() + F.relu(1 + bad).mean()
        if step < wait:
            return near + critic
        fooled = -opinion.float().mean()
        weight = SHARE * _ratio(near, fooled, pair.decoder.conv_out.weight)
        value: Tensor = near + weight * fooled + critic
        return value

    return loss


def _ratio(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """How much larger the gradient of one loss is than another's at a weight, at most 1."""
    sizes = [
        torch.autograd.grad(loss, weight, retain_graph=True)[0].norm() for loss in (first, second)
    ]
    ratio: Tensor = sizes[0] / sizes[1].clamp(min=1e-6)
    return ratio.clamp(max=1.0).detach()
