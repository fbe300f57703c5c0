"""Steps a second of a fine-tune beside a plain diffusers loop: ``python benchmarks/finetune.py``.

The plain loop is that of diffusers' own training scripts, given every advantage that they leave
out: latents and text states are made beforehand. Both train the whole denoiser of the embedded
model on the same latents, under the same captions, with AdamW and the norm of the gradient
clipped; blocks of steps take turns in one process, so that what else the machine does hits both.
Their times are no figures of other machines: their ratio is what is compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import diffusers
import torch
import torch.nn.functional as F
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
    """Latents (n, c, h, w), random since their values cost nothing, and a caption each."""
    latents = torch.randn((PICTURES, *model.latent_shape), generator=generator("benchmark"))
    names = [concept.name for concept in model.known]
    return latents, tuple(Prompt(f"a picture of {names[i % len(names)]}") for i in range(PICTURES))


def ours(model: TextToImage, batch: int) -> Block:
    """The primitive."""
    latents, prompts = data(model)
    caption = own_captions(model.encode(prompts))
    errors = picture_errors(model, latents, caption, batch=batch)

    def run(steps: int) -> None:
        finetune(model, ("denoiser",), {"x": Term(loss=mean(errors))}, steps=steps,
                 optimiser=Optimiser(lr=LR))  # fmt: skip

    return run


def plain(model: TextToImage, batch: int, bf16: bool) -> Block:
    """A loop as in diffusers' train_text_to_image.py, without its data loading."""
    folder = ASSETS / "emoji"
    unet = diffusers.UNet2DConditionModel.from_pretrained(
        folder, subfolder="unet", torch_dtype=torch.float32
    )
    noise = diffusers.DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    latents, prompts = data(model)
    states = model.encode(prompts).hidden.detach()
    kind = noise.config.prediction_type

    def run(steps: int) -> None:
        unet.train()
        adam = torch.optim.AdamW(unet.parameters(), lr=LR)
        for step in range(steps):
            rows = torch.arange(step * batch, (step + 1) * batch) % PICTURES
            x0, eps = latents[rows], torch.randn(batch, *latents.shape[1:])
            t = torch.randint(0, noise.config.num_train_timesteps, (batch,))
            x = noise.add_noise(x0, eps, t)
            target = eps if kind == "epsilon" else noise.get_velocity(x0, eps, t)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                answer = unet(x, t, states[rows], return_dict=False)[0]
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
    print(f"batch {options.batch}, {torch.get_num_threads()} threads; steps a second")
    print("| precision | a plain loop | excise | ratio |\n| --- | --- | --- | --- |")
    for name, bf16 in (("float32", False), ("bfloat16", True)):
        model = load("emoji", autocast=bf16)
        blocks = (plain(model, options.batch, bf16), ours(model, options.batch))
        for block in blocks:
            block(2)
        times = [[seconds(b, options.steps) for b in blocks] for _ in range(options.blocks)]
        a, b = (1 / median(column) for column in zip(*times, strict=True))
        ratio = median(one / two for one, two in times)
        print(f"| {name} | {a:.2f} | {b:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
