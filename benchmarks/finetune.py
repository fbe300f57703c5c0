"""Steps a second of a fine-tune beside a plain diffusers loop: ``python benchmarks/finetune.py``.

The plain loop is that of diffusers' own training script, which reads pictures and captions through
the autoencoder and the text encoder at every step. Beside it stands the same loop given what the
script leaves out: latents and text states made beforehand. All train the whole denoiser of the
embedded model on the same pictures, under the same captions, with AdamW and the norm of the
gradient clipped; blocks of steps take turns in one process, so that what else the machine does hits
all. Their times are no figures of other machines: their ratios are what is compared. Writes its
part of ``docs/speed.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import diffusers
import torch
import torch.nn.functional as F
from timings import finetunes, put
from torch import Tensor

from excise.models.load import ASSETS, load
from excise.primitives.finetune import Term, finetune
from excise.primitives.losses import mean, own_captions, picture_errors
from excise.primitives.stepper import Optimiser
from excise.rng import generator
from excise.types import Prompt, TextToImage

PICTURES, LR = 256, 1e-5
Block = Callable[[int], None]


def data(model: TextToImage) -> tuple[Tensor, tuple[Prompt, ...]]:
    """Pictures (n, 3, h, w) in [0, 1], random since their values cost nothing, a caption each."""
    pictures = torch.rand((PICTURES, 3, *model.picture_size), generator=generator("benchmark"))
    names = [concept.name for concept in model.known]
    return pictures, tuple(Prompt(f"a picture of {names[i % len(names)]}") for i in range(PICTURES))


def ours(model: TextToImage, batch: int) -> Block:
    """The primitive."""
    pictures, prompts = data(model)
    caption = own_captions(model.encode(prompts))
    errors = picture_errors(model, model.encode_pictures(pictures), caption, batch=batch)

    def run(steps: int) -> None:
        finetune(model, ("denoiser",), {"x": Term(loss=mean(errors))}, steps=steps,
                 optimiser=Optimiser(lr=LR))  # fmt: skip

    return run


def plain(model: TextToImage, batch: int, bf16: bool, *, cached: bool) -> Block:
    """A loop as in diffusers' train_text_to_image.py, its data tokenised and in memory.

    cached: latents and text states are made beforehand, which the script does not do.
    """
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(ASSETS / "emoji")
    unet, noise = pipe.unet, diffusers.DDPMScheduler.from_config(pipe.scheduler.config)
    frozen = torch.bfloat16 if bf16 else torch.float32  # the script's --mixed_precision
    vae, text = pipe.vae.to(frozen), pipe.text_encoder.to(frozen)
    pictures, prompts = data(model)
    pixels, words = 2 * pictures - 1, [prompt.text for prompt in prompts]
    longest = pipe.tokenizer.model_max_length
    ids = pipe.tokenizer(
        words, padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
    ).input_ids
    scaling, kind = vae.config.scaling_factor, noise.config.prediction_type

    @torch.no_grad()
    def read(rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        x0 = vae.encode(pixels[rows].to(frozen)).latent_dist.sample() * scaling
        return x0.float(), text(ids[rows], return_dict=False)[0].float()

    kept = read(slice(None)) if cached else None

    def run(steps: int) -> None:
        unet.train()
        adam = torch.optim.AdamW(unet.parameters(), lr=LR)
        for step in range(steps):
            rows = torch.arange(step * batch, (step + 1) * batch) % PICTURES
            x0, states = read(rows) if kept is None else (kept[0][rows], kept[1][rows])
            eps = torch.randn_like(x0)
            t = torch.randint(0, noise.config.num_train_timesteps, (batch,))
            x = noise.add_noise(x0, eps, t)
            target = eps if kind == "epsilon" else noise.get_velocity(x0, eps, t)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                answer = unet(x, t, states, return_dict=False)[0]
            loss = F.mse_loss(answer.float(), target)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            adam.step()
            adam.zero_grad()

    return run


def seconds(block: Block, steps: int) -> float:
    """Of one step, without what is slow the first time only: setting up and taking down."""
    begun = time.perf_counter()
    block(1)
    once = time.perf_counter() - begun
    begun = time.perf_counter()
    block(1 + steps)
    return (time.perf_counter() - begun - once) / steps


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12, help="of a block")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    found = []
    for name, bf16 in (("float32", False), ("bfloat16", True)):
        model = load("emoji", autocast=bf16)
        loops = [plain(model, options.batch, bf16, cached=cached) for cached in (False, True)]
        blocks = [ours(model, options.batch), *loops]
        for block in blocks:
            block(2)
        times = [[seconds(b, options.steps) for b in blocks] for _ in range(options.blocks)]
        rates = [1 / median(column) for column in zip(*times, strict=True)]
        ratios = [median(row[i] / row[0] for row in times) for i in range(len(blocks))]
        row: dict[str, Any] = {"precision": name, "excise": rates[0]}
        for loop, rate, ratio in zip(("plain", "cached"), rates[1:], ratios[1:], strict=True):
            row |= {loop: rate, f"{loop}_ratio": ratio}
        found.append(row)
    part = {"batch": options.batch, "rows": found}
    put("finetune", part)
    sys.stdout.write(finetunes(part))


if __name__ == "__main__":
    main()
