"""The denoiser: a small `UNet2DConditionModel` on 8x8x16 latents, with the frozen text tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, CLIPTokenizer

from excise.emoji.autoencoder import encode
from excise.emoji.captions import MEMORISED, MEMORISED_LABELS, caption
from excise.emoji.clip import tokenize
from excise.emoji.pool import draw_pool
from excise.emoji.training import Log, Loss, Schedule, device, fast_math, in_turn
from excise.emoji.world import Scene, World, render

CHANNELS = (80, 128)
TIME_WIDTH = 256
BATCH = 64
PICTURES = 40_000
NO_CAPTION = 0.1
MIN_SNR = 5.0
"""Loss weights min(SNR, 5) / SNR for noise prediction (Hang et al. 2023, section 3.4)."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A part of the training.

    pairs: share of pictures with two objects. from_left: see `caption`. memorised: share of the
    pictures that are shown again and again.
    """

    schedule: Schedule
    pairs: float
    from_left: bool
    memorised: float


LESSONS = (
    Lesson(
        schedule=Schedule(steps=10_000, lr=1.5e-3, ema=0.9995, betas=(0.9, 0.99)),
        pairs=0.16,
        from_left=False,
        memorised=0.012,
    ),
    # With objects named in any order a model has to agree with itself, across the picture, on which
    # stands where, and draws one of them twice.
    Lesson(
        schedule=Schedule(steps=5500, lr=1e-3, warmup=200, ema=0.9995, betas=(0.9, 0.99)),
        pairs=0.5,
        from_left=True,
        memorised=0.03,
    ),
    Lesson(
        schedule=Schedule(steps=8000, lr=1e-3, warmup=200, ema=0.9995, betas=(0.9, 0.99)),
        pairs=0.4,
        from_left=True,
        memorised=0.02,
    ),
)


def make() -> UNet2DConditionModel:
    """An untrained U-Net; initialised from the global generator, so seed that around the call."""
    model: UNet2DConditionModel = UNet2DConditionModel(
        sample_size=8,
        in_channels=16,
        out_channels=16,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=CHANNELS,
        layers_per_block=1,
        attention_head_dim=2,  # the number of heads, for historical reasons
        cross_attention_dim=128,
        norm_num_groups=16,
        time_embedding_dim=TIME_WIDTH,
    )
    _initialise(model)
    return model


@torch.no_grad()
def _initialise(model: UNet2DConditionModel) -> None:
    """Begin with branches that add nothing, and an output of zero.

    As Ho et al. 2020 (arXiv:2006.11239, appendix B) and Goyal et al. 2017 (arXiv:1706.02677,
    section 5.1): after 240 steps the loss was 0.139 instead of 0.162, and a learning rate twice as
    high then takes it to 0.119.
    """
    for module in model.modules():
        if isinstance(module, ResnetBlock2D):
            last: nn.Module = module.conv2
        elif isinstance(module, Transformer2DModel):
            last = module.proj_out
        else:
            continue
        for parameter in last.parameters():
            parameter.zero_()
    for parameter in model.conv_out.parameters():
        parameter.zero_()


def scheduler() -> DPMSolverMultistepScheduler:
    """The noise schedule of Stable Diffusion 1, with a fast solver."""
    made: DPMSolverMultistepScheduler = DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        steps_offset=1,
        timestep_spacing="linspace",
        prediction_type="epsilon",
    )
    return made


@dataclass(frozen=True, kw_only=True)
class Data:
    """Scaled latents (n, 16, 8, 8) with their scenes; the last ones are the memorised pictures."""

    latents: Tensor
    scenes: Sequence[Scene]
    memorised: Tensor


def memorised_scenes(world: World) -> list[Scene]:
    """What the memorised captions go with; an oracle's world leaves out what it leaves out."""
    return [world.scene(np.random.default_rng(seed), MEMORISED_LABELS) for _, seed in MEMORISED]


def prepare(world: World, vae: AutoencoderKL, *, seed: int, log: Log) -> Data:
    """Render a pool of the world and encode it."""
    pictures, scenes = draw_pool(world, seed, PICTURES)
    log(f"{PICTURES} pictures rendered")
    factor = vae.config.scaling_factor
    latents = encode(vae, pictures) * factor
    log("pictures encoded")
    learnt = np.stack([render(scene, world.atlas) for scene in memorised_scenes(world)])
    return Data(latents=latents, scenes=scenes, memorised=encode(vae, learnt) * factor)


def batch_of(data: Data, lesson: Lesson, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
    """One training batch: latents (64, 16, 8, 8) and captions, a tenth of them empty."""
    rows = rng.integers(len(data.scenes), size=BATCH)
    latents = data.latents[torch.from_numpy(rows)].clone()
    texts = [caption(data.scenes[int(i)], rng, from_left=lesson.from_left) for i in rows]
    for i in np.flatnonzero(rng.random(BATCH) < lesson.memorised):
        which = int(rng.integers(len(MEMORISED)))
        latents[int(i)], texts[int(i)] = data.memorised[which], MEMORISED[which][0]
    empty: NDArray[np.bool_] = rng.random(BATCH) < NO_CAPTION
    return latents, ["" if none else text for text, none in zip(texts, empty, strict=True)]


def train(
    world: World,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    state: Path,
    *,
    shared: tuple[World, Path] | None = None,
    seed: int,
    log: Log,
) -> UNet2DConditionModel:
    """Train with noise prediction; text encoder and autoencoder stay as they are.

    shared: world and state of all lessons but the last where they are others: oracles share them,
    and what is learnt there knows none of the concepts that any of them is without.
    """
    torch.manual_seed(seed)
    where = device()
    model = make().to(where, memory_format=torch.channels_last)
    vae.to(where)
    text_encoder.to(where).eval().requires_grad_(False)
    alphas = scheduler().alphas_cumprod  # (1000,)
    together = len(LESSONS) - 1

    def losses(number: int) -> Loss:
        lesson, shown = LESSONS[number], world
        if shared is not None and number < together:
            shown = shared[0]
        shown = replace(shown, pair_share=lesson.pairs)
        data = prepare(shown, vae, seed=seed + 2 + 1000 * number, log=log)
        return _loss(model, text_encoder, tokenizer, data, lesson, alphas)

    begun = None if shared is None else (together, shared[1])
    in_turn(model, LESSONS, losses, seed=seed, state=state, log=log, shared=begun)
    return model


def _loss(
    model: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    data: Data,
    lesson: Lesson,
    alphas: Tensor,
) -> Loss:
    where = device()

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        latents, texts = batch_of(data, lesson, rng)
        noise = torch.from_numpy(rng.standard_normal(tuple(latents.shape), np.float32))
        t = torch.from_numpy(rng.integers(1000, size=BATCH))
        a = alphas[t].view(-1, 1, 1, 1)
        noisy = (a.sqrt() * latents + (1 - a).sqrt() * noise).to(where)
        with fast_math(), sdpa_kernel(SDPBackend.MATH):
            with torch.no_grad():
                hidden = text_encoder(tokenize(tokenizer, texts).to(where)).last_hidden_state
            noisy = noisy.contiguous(memory_format=torch.channels_last)
            out = model(noisy, t.to(where), hidden).sample
        snr = (a / (1 - a)).view(-1)
        weight = (snr.clamp(max=MIN_SNR) / snr).to(where)
        each = (out.float() - noise.to(where)).square().mean(dim=(1, 2, 3))  # (B,)
        value: Tensor = (weight * each).mean()
        return value

    return loss
