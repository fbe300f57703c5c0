"""Pictures of two models at the same prompts and seeds, told apart so that they can be compared.

Where one picture stands on both sides, two sets look more alike than they are. So one model's half
of the pictures is held against the other model's other half: no prompt and seed on both sides, and
as many of each group. A model held against itself in the same way gives the floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from excise.errors import MissingJudge
from excise.primitives.clip import FEATURES
from excise.primitives.probe import Look
from excise.rng import generator


def halves(groups: Sequence[str], *parts: int | str) -> tuple[Tensor, Tensor]:
    """Two disjoint sets of rows (m,), with as many of every group in one as in the other.

    groups: of each row; of an odd number one is left out. parts: what the choice is seeded by.
    """
    one: list[int] = []
    other: list[int] = []
    for name in dict.fromkeys(groups):
        rows = [i for i, group in enumerate(groups) if group == name]
        order = torch.randperm(len(rows), generator=generator("halves", *parts, name)).tolist()
        half = len(rows) // 2
        one += [rows[i] for i in order[:half]]
        other += [rows[i] for i in order[half : 2 * half]]
    return torch.tensor(one, dtype=torch.int64), torch.tensor(other, dtype=torch.int64)


def described(looks: Mapping[str, Look], metric: str) -> dict[str, Tensor]:
    """The features of looks, float64 (n, d), by arm. Raises MissingJudge if they have none."""
    if any(FEATURES not in look.features for look in looks.values()):
        raise MissingJudge(
            f"{metric} needs features of pictures, got a judge that has none; give a classifier "
            "or a CLIP as the judge, or features of your own"
        )
    return {arm: look.features[FEATURES].double() for arm, look in looks.items()}


def groups_of(look: Look) -> list[str]:
    """What each picture of a look was meant to show."""
    return [shot.group for shot in look.probe.shots]
