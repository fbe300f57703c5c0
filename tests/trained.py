"""A tiny Stable Diffusion that was trained for seconds on two pictures, so that maths shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from tests import tiny
from torch import Tensor

from excise.models.load import of_pipeline
from excise.rng import generator
from excise.types import TextToImage

PROMPTS = {
    "cat": ("a cat", "a photo of a cat", "a picture of a cat"),
    "dog": ("a dog", "a photo of a dog", "a picture of a dog"),
}

BATCH = 16


@dataclass(frozen=True, eq=False)
class World:
    """The model, and by name (16, 4, 8, 8) latents of its two things."""

    model: TextToImage
    latents: dict[str, Tensor]


def things(n: int = 16) -> dict[str, Tensor]:
    """A cat is a colour, a dog its negative; each picture differs a little."""
    colour = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None, None].expand(4, 8, 8)
    found = {}
    for sign, name in ((1.0, "cat"), (-1.0, "dog")):
        jitter = torch.randn(n, 4, 8, 8, generator=generator("things", name))
        found[name] = sign * colour + 0.1 * jitter
    return found


@cache
def world(steps: int = 200) -> World:
    """About six seconds of one core. Shared by all tests: whoever uses it leaves it as it was."""
    model = of_pipeline(
        tiny.stable_diffusion("v_prediction"), "two things", {"steps": 6, "guidance": 1.0}
    )
    latents = things()
    texts = [text for name in PROMPTS for text in PROMPTS[name]]
    with torch.no_grad():
        cond = model.encode(texts)
        for name, weight in model.parameters("cross_attention").items():
            if ".attn2.to_v." in name or name.endswith(".attn2.to_out.0.weight"):
                weight *= 4  # words count from the start, which saves a hundred steps
    for component in model.components.values():
        component.requires_grad_(False)
    unet = model.components["unet"].requires_grad_(True)
    adam = torch.optim.Adam(unet.parameters(), betas=(0.9, 0.98))
    draw = generator("training")
    for step in range(steps):
        row = torch.randint(len(texts), (BATCH,), generator=draw)
        which = torch.randint(16, (BATCH,), generator=draw)
        pairs = zip(row.tolist(), which.tolist(), strict=True)
        x0 = torch.stack([latents["cat" if r < 3 else "dog"][w] for r, w in pairs])
        eps = torch.randn(x0.shape, generator=draw)
        u = 1 - torch.rand(BATCH, generator=draw).square()  # mostly where only words can tell
        for group in adam.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        out = model.predict(model.noise(x0, eps, u), u, cond[row])
        loss = (out - model.target(x0, eps, u)).square().mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    unet.requires_grad_(False)
    adam.zero_grad(set_to_none=True)
    return World(model, latents)
