"""Thresholds of a classifier, fixed once from false alarms on pictures that it never trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.judging import LABELS, Labelled, Restricted, labelled, other_glyphs, through
from excise.emoji.world import World
from excise.judges.classifier import Classifier
from excise.stats import wilson_upper

FALSE_ALARMS = 0.005
LEAST, MOST = 0.5, 0.9999
PICTURES = 16_000
"""Of each of the two kinds, for the thresholds and once more to check them."""

Scores = NDArray[np.float32]


class Scorer(Protocol):
    """What is calibrated: scores in [0, 1], (n, labels), of pictures (n, 3, h, w)."""

    def scores(self, pictures: Tensor) -> Tensor:
        """One column a label of `LABELS`."""


def test_pictures(vae: AutoencoderKL, seed: int, count: int) -> tuple[Labelled, Labelled]:
    """Pictures of "other" glyphs that no classifier trained on, and of everything else.

    Half of each as renders, half as the autoencoder shows them.
    """
    atlas = Atlas()
    unseen = Restricted(atlas, other_glyphs(atlas, "test"))
    others = World(atlas=unseen, labels=("other",), pair_share=0.0)
    known = World(atlas=unseen, labels=(*OBJECTS, *DECOYS), held_out=None, empty_share=0.05)
    made = []
    for i, world in enumerate((others, known)):
        data = labelled(world, seed + i, count)
        rng = np.random.default_rng(seed + i)
        data.pictures[: count // 2] = through(vae, data.pictures[: count // 2], rng)
        made.append(data)
    return made[0], made[1]


def cut(absent: Scores) -> float:
    """A threshold that at most 0.5 % of such pictures reach, at 95 % confidence.

    As many of these pictures may pass as leave the upper bound of the rate below 0.5 %: 65 of
    16,000, where half a percent of them would be 80. With fewer than 894 none passes.
    """
    allowed, n = 0, len(absent)
    while allowed + 1 < n and wilson_upper(allowed + 1, n) <= FALSE_ALARMS:
        allowed += 1
    highest_that_stays_out = float(np.sort(absent)[n - 1 - allowed])
    # One step of 1e-4 above it, also where single precision has rounded it down.
    return (math.floor(highest_that_stays_out * 1e4 + 1e-3) + 1) / 1e4


def fixed_thresholds(judge: Scorer, parts: Sequence[Labelled]) -> dict[str, float]:
    """By label the strictest cut of all kinds of pictures, in [0.5, 0.9999]."""
    return {
        label: min(max([LEAST, *map(cut, absent)]), MOST)
        for label, absent, _ in _columns(judge, parts)
    }


def checked(
    judge: Scorer, thresholds: Mapping[str, float], parts: Sequence[Labelled]
) -> dict[str, dict[str, float]]:
    """By label the threshold, false alarms (the worst kind of pictures) and hits."""
    return {
        label: {
            "threshold": thresholds[label],
            "false_alarms": max(float((a >= thresholds[label]).mean()) for a in absent),
            "hits": float((present >= thresholds[label]).mean()),
        }
        for label, absent, present in _columns(judge, parts)
    }


def calibrate(
    folder: Path, vae: AutoencoderKL, *, seed: int, count: int = PICTURES
) -> dict[str, dict[str, float]]:
    """Write `thresholds.json` for the classifier in `folder`, and check it on fresh pictures.

    An object's threshold leaves at most 0.5 % false alarms on other glyphs and on other objects; a
    style's on other styles; the watermark's and "nothing"'s on pictures without.
    """
    judge = Classifier(folder=str(folder))
    thresholds = fixed_thresholds(judge, test_pictures(vae, seed, count))
    report = checked(judge, thresholds, test_pictures(vae, seed + 50, count))
    text = json.dumps(thresholds, indent=1)
    (folder / "thresholds.json").write_text(text + "\n", encoding="utf-8")
    return report


def _columns(
    judge: Scorer, parts: Sequence[Labelled]
) -> Iterator[tuple[str, list[Scores], Scores]]:
    """By label the scores of each kind of pictures without it, and of all with it."""
    scored = [(_scores(judge, part), part.targets) for part in parts]
    for i, label in enumerate(LABELS):
        absent = [values[truth[:, i] == 0, i] for values, truth in scored]
        present = [values[truth[:, i] == 1, i] for values, truth in scored]
        yield label, [a for a in absent if len(a)], np.concatenate(present)


def _scores(judge: Scorer, data: Labelled) -> Scores:
    x = torch.from_numpy(data.pictures).permute(0, 3, 1, 2).contiguous()
    scored: Scores = judge.scores(x).numpy()
    return scored
