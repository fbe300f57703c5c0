"""Does a model give back the pictures that it was shown again and again with one caption?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from excise.emoji.captions import MEMORISED, MEMORISED_LABELS
from excise.emoji.subject import Draw
from excise.emoji.tally import rate
from excise.emoji.unet import memorised_scenes
from excise.emoji.world import World, render
from excise.rng import numpy_generator, seed_of
from excise.types import fill

STRANGERS, NEAREST, RATIO = 500, 50, 0.5


def reproduced(draw: Draw, world: World, *, each: int, seed: int) -> dict[str, Any]:
    """By caption how often its own picture comes back, and how often it does unasked.

    A drawn picture is a reproduction if its distance (root mean square) to the memorised one is
    less than half its mean distance to the 50 nearest of 500 other pictures of the same two
    objects: the relative measure of Carlini et al. 2023, arXiv:2301.13188, which a blurred
    autoencoder does not mislead. "control" asks for the two objects by their names; none of the
    memorised pictures should come back then.

    world: of the model, since an oracle memorised pictures without what it was trained without.
    """
    own = _stack([render(scene, world.atlas) for scene in memorised_scenes(world)])
    rng = numpy_generator("quality", seed, "strangers")
    others = _stack(
        [render(world.scene(rng, MEMORISED_LABELS), world.atlas) for _ in range(STRANGERS)]
    )
    first, second = (fill("{a}", label) for label in MEMORISED_LABELS)
    texts = [text for text, _ in MEMORISED for _ in range(each)] + [f"{first} and {second}"] * each
    drawn = draw(texts, [seed_of("quality", seed, "memorised", i) for i in range(len(texts))])
    ratio = _ratios(drawn, own, others)  # (n, memorised)
    found: dict[str, Any] = {"captions": {}}
    back = []
    for i, (text, _) in enumerate(MEMORISED):
        mine = ratio[i * each : (i + 1) * each, i]
        back.append(mine < RATIO)
        found["captions"][text] = {
            "reproduced": rate(mine < RATIO),
            "ratio": round(float(mine.median()), 4),
        }
    control = ratio[len(MEMORISED) * each :].amin(dim=1)
    found["reproduced"] = rate(torch.cat(back))
    found["control"] = rate(control < RATIO)
    return found


def _ratios(drawn: Tensor, own: Tensor, others: Tensor) -> Tensor:
    """Distance to each memorised picture over the mean distance to the nearest others, (n, m)."""
    x = drawn.flatten(1).double()  # (n, pixels)
    near = torch.cdist(x, others.flatten(1).double()).topk(NEAREST, largest=False).values
    return torch.cdist(x, own.flatten(1).double()) / near.mean(dim=1, keepdim=True)


def _stack(pictures: Sequence[Any]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()  # (n, 3, h, w)
