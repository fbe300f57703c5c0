"""What a report of invented figures is made with: small real pictures and scores that fit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from excise.emoji.glyphs import Atlas
from excise.emoji.world import World, render
from excise.reporting import Arm, Estimate, Pictures, Rate, Scores
from excise.types import Score

HASH = "9f2c4e7a" * 8
ARMS = (
    Arm(key="base", label="before", role="base", fingerprint=HASH),
    Arm(key="edit", label="after", role="edit", fingerprint=HASH[::-1]),
    Arm(key="oracle", label="never shown a cat", role="oracle", note="emoji/without-cat"),
    Arm(key="esd", label="ESD-x", role="rival"),
    Arm(key="ascent", label="gradient ascent", role="rival"),
)


@cache
def atlas() -> Atlas:
    return Atlas()


def draw(labels: list[list[str]], seed: int, style: str | None = "plain") -> Tensor:
    """One picture for each list of labels, uint8 (n, 3, 64, 64)."""
    world = World(atlas=atlas())
    pictures = []
    for i, shown in enumerate(labels):
        rng = np.random.default_rng(1000 * seed + i)
        scene = world.scene(rng, shown, style=style, watermark=False)
        pictures.append(torch.from_numpy(render(scene, atlas())).permute(2, 0, 1))
    return torch.stack(pictures)


def noisy(n: int, seed: int) -> Tensor:
    """Shapeless patches, uint8 (n, 3, 64, 64)."""
    numbers = torch.Generator().manual_seed(seed)
    small = torch.rand((n, 3, 5, 5), generator=numbers)
    big = torch.nn.functional.interpolate(small, size=64, mode="bicubic").clamp(0, 1)
    return (big * 255).to(torch.uint8)


def rates(n: int = 240, **counts: int) -> dict[str, Rate]:
    return {arm: Rate.of(count, n) for arm, count in counts.items()}


def around(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


class Builder:
    """Collects pictures and scores while the record is made."""

    def __init__(self) -> None:
        self.pictures: dict[str, Tensor] = {}
        self.groups: list[Pictures] = []
        self.scores: list[Scores] = []

    def group(
        self, key: str, kind: Any, title: str, prompts: list[str], arms: dict[str, Tensor],
        shown: dict[str, tuple[bool, ...]] | None = None,
    ) -> str:  # fmt: skip
        sheets = {arm: f"images/{key}-{arm}.png" for arm in arms}
        self.pictures |= {sheets[arm]: tensor for arm, tensor in arms.items()}
        n = len(prompts)
        self.groups.append(
            Pictures(
                key=key, kind=kind, title=title, prompts=tuple(prompts), seeds=tuple(range(n)),
                guidance=3.0, sheets=sheets, size=(64, 64), shown=shown or {},
            )
        )  # fmt: skip
        return key

    def looks(self, group: str, label: str, found: dict[str, Rate], judge: str = "judge") -> None:
        """Rows of the table of scores that give these rates at the threshold of 0.5."""
        for arm, rate in found.items():
            assert rate.count is not None
            hits = torch.arange(rate.n) < rate.count
            spread = torch.linspace(0, 0.35, rate.n)
            self.scores.append(
                Scores.of(
                    Score(
                        concept=label,
                        judge=judge,
                        values=torch.where(hits, 0.6 + spread, spread),
                        threshold=0.5,
                    ),
                    group=group,
                    arm=arm,
                    prompts=[f"prompt {i % 10}" for i in range(rate.n)],
                    seeds=list(range(rate.n)),
                )
            )
