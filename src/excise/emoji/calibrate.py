"""Thresholds of a classifier, fixed once from false alarms on pictures that it never trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import PreTrainedModel

from excise.emoji.glyphs import DECOYS, OBJECTS, Atlas
from excise.emoji.judging import LABELS, Labelled, Restricted, labelled, other_glyphs, through
from excise.emoji.world import World
from excise.judges.classifier import Classifier

FALSE_ALARMS = 0.005
LEAST = 0.5


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


def save(model: PreTrainedModel, folder: Path) -> None:
    """Save a classifier in half precision, with what its pictures have to look like."""
    model.half().save_pretrained(folder)
    model.float()
    text = {"size": {"height": 64, "width": 64}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(text) + "\n", encoding="utf-8")


def calibrate(folder: Path, vae: AutoencoderKL, *, seed: int) -> dict[str, dict[str, float]]:
    """Write `thresholds.json`, and say by label: threshold, false alarms on fresh pictures, hits.

    An object's threshold leaves at most 0.5 % false alarms on other glyphs and on other objects; a
    style's on other styles; the watermark's and "nothing"'s on pictures without. At least 0.5.
    """
    judge = Classifier(folder=str(folder))
    thresholds: dict[str, float] = {}
    report: dict[str, dict[str, float]] = {}
    for pass_seed, fixed in ((seed, False), (seed + 50, True)):
        others, known = test_pictures(vae, pass_seed, 6000)
        scores = [_scores(judge, part) for part in (others, known)]
        for i, label in enumerate(LABELS):
            absent = [
                s[part.targets[:, i] == 0, i]
                for s, part in zip(scores, (others, known), strict=True)
            ]
            absent = [a for a in absent if len(a) > 200]
            present = np.concatenate(
                [
                    s[part.targets[:, i] == 1, i]
                    for s, part in zip(scores, (others, known), strict=True)
                ]
            )
            if not fixed:
                cut = max((float(np.quantile(a, 1 - FALSE_ALARMS)) for a in absent), default=LEAST)
                thresholds[label] = round(min(max(LEAST, cut), 0.995), 4)
            else:
                report[label] = {
                    "threshold": thresholds[label],
                    "false_alarms": max(float((a >= thresholds[label]).mean()) for a in absent),
                    "hits": float((present >= thresholds[label]).mean()),
                }
    text = json.dumps(thresholds, indent=1)
    (folder / "thresholds.json").write_text(text + "\n", encoding="utf-8")
    return report


def _scores(judge: Classifier, data: Labelled) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    x = torch.from_numpy(data.pictures).permute(0, 3, 1, 2).contiguous()
    scored: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = judge.scores(x).numpy()
    return scored
