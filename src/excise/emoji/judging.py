"""Training of the judge and the auditor: two architectures, several labels at once.

Both learn from renders of every glyph, seen through the autoencoder for half of the time, since
that is how generated pictures look. The auditor is a RegNet (Radosavovic et al. 2020,
arXiv:2003.13678) where the judge is a ResNet, and sees other "other" glyphs and altered colours, so
that it does not share the judge's mistakes. A Swin transformer of its size learnt styles and hardly
any object in as many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    RegNetConfig,
    RegNetForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from excise.emoji.autoencoder import encode
from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas, Glyph
from excise.emoji.pool import draw_pool
from excise.emoji.styles import STYLES
from excise.emoji.training import Log, Loss, Schedule, device, fast_math, in_turn
from excise.emoji.world import Scene, World

Which = Literal["judge", "auditor"]
THINGS = (*OBJECTS, *DECOYS, "other")
LABELS = (*THINGS, "nothing", *STYLES, "watermark")


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A part of the training.

    pairs: share of pictures with two objects. seen: share that went through the autoencoder.
    """

    schedule: Schedule
    pairs: float
    seen: float


FIRST = Lesson(
    schedule=Schedule(steps=5000, lr=1.5e-3, weight_decay=0.02, ema=0.998, betas=(0.9, 0.98)),
    pairs=0.4,
    seen=0.5,
)
SECOND = Lesson(
    schedule=Schedule(
        steps=2500, lr=1e-3, warmup=100, weight_decay=0.02, ema=0.998, betas=(0.9, 0.98)
    ),
    pairs=0.6,
    seen=0.8,
)
"""The small objects of a pair are what the first lesson errs on, once the autoencoder has blurred
them."""

LESSONS: Mapping[Which, tuple[Lesson, ...]] = {
    "judge": (FIRST, SECOND),
    "auditor": (replace(FIRST, pairs=0.5, seen=0.7), SECOND),
}
BATCH = 64
PICTURES = 32_000
SEEN = {"judge": 128, "auditor": 96}
"""The side to which each classifier has pictures enlarged, since objects of a pair are small."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Pictures (n, 64, 64, 3) uint8, targets (n, labels) in {0, 1}."""

    pictures: NDArray[np.uint8]
    targets: NDArray[np.float32]


def make(which: Which) -> PreTrainedModel:
    """An untrained classifier, initialised from the global generator."""
    names = dict(enumerate(LABELS))
    back = {name: i for i, name in names.items()}
    if which == "judge":
        config = ResNetConfig(
            embedding_size=48,
            hidden_sizes=[48, 80, 128, 192],
            depths=[1, 2, 2, 1],
            layer_type="basic",
            id2label=names,
            label2id=back,
            problem_type="multi_label_classification",
        )
        return ResNetForImageClassification(config)
    return RegNetForImageClassification(
        RegNetConfig(
            embedding_size=32,
            hidden_sizes=[64, 128, 256],
            depths=[1, 2, 3],
            groups_width=16,
            layer_type="y",
            id2label=names,
            label2id=back,
            problem_type="multi_label_classification",
        )
    )


def other_glyphs(atlas: Atlas, part: Literal["judge", "auditor", "test"]) -> tuple[Glyph, ...]:
    """The "other" glyphs, split: three in eight for each classifier, two in eight for neither."""
    others = [glyph for glyph in atlas.glyphs if glyph.label == "other"]
    rooms = {"judge": (0, 2, 5), "auditor": (1, 4, 6), "test": (3, 7)}[part]
    return tuple(glyph for i, glyph in enumerate(others) if i % 8 in rooms)


class Restricted(Atlas):
    """An atlas in which "other" means only some of the other glyphs."""

    def __init__(self, atlas: Atlas, others: tuple[Glyph, ...]) -> None:
        self.glyphs = (*(g for g in atlas.glyphs if g.label != "other"), *others)
        self._tiles = atlas._tiles


def targets_of(scene: Scene) -> NDArray[np.float32]:
    """One row of targets."""
    row = np.zeros(len(LABELS), np.float32)
    for name in (*scene.labels, scene.style, *(("watermark",) if scene.watermark else ())):
        row[LABELS.index(name)] = 1
    if not scene.items:
        row[LABELS.index("nothing")] = 1
    return row


def labelled(world: World, seed: int, count: int) -> Labelled:
    """Renders with their labels."""
    pictures, scenes = draw_pool(world, seed, count)
    return Labelled(pictures=pictures, targets=np.stack([targets_of(scene) for scene in scenes]))


@torch.no_grad()
def through(
    vae: AutoencoderKL, pictures: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """What the autoencoder makes of pictures whose latents were disturbed a little."""
    where = next(vae.parameters()).device
    out = np.empty_like(pictures)
    for i in range(0, len(pictures), 128):
        latents = encode(vae, pictures[i : i + 128])
        size = rng.uniform(0, 0.35, (len(latents), 1, 1, 1)) * float(latents.std())
        latents += torch.from_numpy((size * rng.standard_normal(latents.shape)).astype(np.float32))
        with fast_math():
            x = vae.decode(latents.to(where)).sample.float()
        x = x.add(1).mul(127.5).clamp(0, 255).permute(0, 2, 3, 1)
        out[i : i + 128] = x.round().byte().cpu().numpy()
    return out


def _shuffled(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures cut into 8x8 or 16x16 squares that are put back in a random order."""
    side = int(rng.choice((8, 16)))
    n = 64 // side
    tiles = x.unfold(2, side, side).unfold(3, side, side).reshape(len(x), 3, n * n, side, side)
    order = torch.from_numpy(rng.permutation(n * n))
    tiles = tiles[:, :, order].reshape(len(x), 3, n, n, side, side)
    return tiles.permute(0, 1, 2, 4, 3, 5).reshape(len(x), 3, 64, 64)


def _smeared(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures of which only blobs of colour are left."""
    small = F.adaptive_avg_pool2d(x, int(rng.choice((3, 4, 5))))
    blobs = F.interpolate(small, size=64, mode="bicubic", align_corners=False)
    noise = torch.from_numpy(rng.standard_normal(tuple(x.shape), np.float32))
    return blobs + float(rng.uniform(0, 0.15)) * noise


def augmented(
    x: Tensor, y: Tensor, rng: np.random.Generator, which: Which
) -> tuple[Tensor, Tensor, Tensor]:
    """Junk, blends, blur, noise and colour: pictures, targets, and which targets count."""
    n, things = len(x), len(THINGS) + 1
    weight = torch.ones_like(y)
    x, y = x.clone(), y.clone()
    junk = n // 12
    nothing = torch.zeros(y.shape[1])
    nothing[things - 1] = 1
    for part, spoil in ((slice(0, junk), _shuffled), (slice(junk, 2 * junk), _smeared)):
        x[part], y[part] = spoil(x[part], rng), nothing
        weight[part, things:] = 0  # its style is anybody's guess
    part = slice(2 * junk, 3 * junk)  # blends of two pictures show both
    other = torch.from_numpy(rng.integers(3 * junk, n, junk))
    share = float(rng.uniform(0.4, 0.6))
    x[part] = share * x[part] + (1 - share) * x[other]
    y[part] = torch.maximum(y[part], y[other])
    weight[part, things:] = 0
    low, high = (0.85, 1.15) if which == "judge" else (0.6, 1.3)
    gain = torch.from_numpy(rng.uniform(low, high, (n, 3, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.08, 0.08, (n, 3, 1, 1)).astype(np.float32))
    x = x * gain + shift
    soft = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    blur = rng.uniform(0, 1, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.4)
    x = torch.lerp(x, soft, torch.from_numpy(blur.astype(np.float32)))
    noise = rng.uniform(0, 0.08, (n, 1, 1, 1)) * rng.standard_normal(tuple(x.shape))
    moved = torch.roll(x, tuple(int(v) for v in rng.integers(-3, 4, 2)), (2, 3))
    return (moved + torch.from_numpy(noise.astype(np.float32))).clamp(-1, 1), y, weight


def train(which: Which, vae: AutoencoderKL, state: Path, *, seed: int, log: Log) -> PreTrainedModel:
    """Train one of the two classifiers."""
    torch.manual_seed(seed)
    where = device()
    model = make(which).to(where, memory_format=torch.channels_last)

    @cache
    def losses(number: int) -> Loss:
        return _loss(which, model, vae, LESSONS[which][number], seed + 1000 * number, log)

    in_turn(model, LESSONS[which], losses, seed=seed, state=state, log=log)
    _settle(model, lambda rng: losses(len(LESSONS[which]) - 1)(0, rng), seed)
    return model


def _loss(
    which: Which, model: PreTrainedModel, vae: AutoencoderKL, lesson: Lesson, seed: int, log: Log
) -> Loss:
    where, data = device(), _pictures(which, vae, lesson, seed, log)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        rows = np.sort(rng.choice(PICTURES, BATCH, replace=False))
        rng.shuffle(rows)
        x = torch.from_numpy(data.pictures[rows]).permute(0, 3, 1, 2).float()
        x = x.div(127.5).sub(1)
        x, y, weight = augmented(x, torch.from_numpy(data.targets[rows]), rng, which)
        x, y, weight = (v.to(where) for v in (x, y, weight))
        if SEEN[which] != x.shape[-1]:
            size = (SEEN[which], SEEN[which])  # as a judge does
            x = F.interpolate(x, size=size, mode="bicubic", antialias=True).clamp(-1, 1)
        with fast_math():
            logits = model(pixel_values=x.contiguous(memory_format=torch.channels_last)).logits
        each = F.binary_cross_entropy_with_logits(logits.float(), y, weight, reduction="none")
        return each.sum(dim=1).mean()

    return loss


def _pictures(which: Which, vae: AutoencoderKL, lesson: Lesson, seed: int, log: Log) -> Labelled:
    atlas = Atlas()
    mine = Restricted(atlas, other_glyphs(atlas, which))
    # One in three pictures shows something else, so that "other" is no rarity.
    labels = (*OBJECTS, *DECOYS, *["other"] * 14)
    world = World(
        atlas=mine, labels=labels, held_out=None, pair_share=lesson.pairs, empty_share=0.03
    )
    data = labelled(world, seed + (11 if which == "judge" else 12), PICTURES)
    part = round(lesson.seen * PICTURES)
    data.pictures[:part] = through(vae, data.pictures[:part], np.random.default_rng(seed))
    log(f"{PICTURES} pictures made")
    return data


def _settle(model: nn.Module, run: Callable[[np.random.Generator], Tensor], seed: int) -> None:
    """Give batch norms the statistics of the averaged weights."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the passes below
        norm.train()
    with torch.no_grad():
        for i in range(60 if norms else 0):
            run(np.random.default_rng((seed, 10**6 + i)))
    model.eval()
