"""Thresholds keep their promise on pictures that they were not fixed on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from excise.emoji import calibrate as module
from excise.emoji.calibrate import FALSE_ALARMS, LEAST, MOST, checked, cut, fixed_thresholds
from excise.emoji.judging import LABELS, Labelled
from excise.judges.classifier import Classifier
from excise.models.quiet import quietly
from excise.stats import wilson_lower

COUNT = 6000


class Noisy:
    """Reads the targets out of the picture, and scores with noise that the picture holds too.

    A picture without a label scores 0.5 + 0.12 z, so that 0.5 % of them lie above 0.81.
    """

    def scores(self, pictures: Tensor) -> Tensor:
        flat = pictures.flatten(1)[:, : 5 * len(LABELS)].view(len(pictures), len(LABELS), 5)
        shown, noise = flat[..., 0].float(), flat[..., 1:].float() / 255
        z = (noise.sum(dim=2) - 2) / (4 / 12) ** 0.5  # about normal (Irwin and Hall)
        return (0.5 + 0.12 * z + 0.4 * shown).clamp(0, 1)


def made(seed: int, kind: int) -> Labelled:
    """Pictures (n, h, w, 3) that hold targets and noise instead of a drawing."""
    rng = np.random.default_rng((seed, kind))
    targets = (rng.random((COUNT, len(LABELS))) < (0.04 if kind else 0.01)).astype(np.float32)
    rows = rng.integers(0, 256, (COUNT, len(LABELS), 5)).astype(np.uint8)
    rows[..., 0] = targets
    flat = np.zeros((COUNT, 3 * 16 * 8), np.uint8)
    flat[:, : rows[0].size] = rows.reshape(COUNT, -1)
    return Labelled(pictures=flat.reshape(COUNT, 3, 16, 8).transpose(0, 2, 3, 1), targets=targets)


def test_false_alarms_stay_below_half_a_percent_on_fresh_pictures() -> None:
    judge = Noisy()
    thresholds = fixed_thresholds(judge, (made(0, 0), made(0, 1)))
    report = checked(judge, thresholds, (made(1, 0), made(1, 1)))
    assert set(thresholds) == set(report) == set(LABELS)
    alarms = [row["false_alarms"] for row in report.values()]
    assert 0 < float(np.mean(alarms)) <= FALSE_ALARMS
    # The bound holds for a label with 95 % confidence, so a few may pass it, none by much.
    assert np.mean([a > FALSE_ALARMS for a in alarms]) < 0.15
    level = 1 - 0.05 / (2 * len(alarms))  # for all labels and both kinds of pictures at once
    assert all(wilson_lower(round(a * COUNT), COUNT, level) < FALSE_ALARMS for a in alarms)
    assert all(row["hits"] > 0.6 for row in report.values())
    assert all(LEAST < value < MOST for value in thresholds.values())


def test_the_strictest_kind_of_pictures_counts() -> None:
    judge = Noisy()
    easy, hard = made(0, 0), made(0, 1)
    hard.pictures.reshape(COUNT, -1)  # a view would hide a copy
    both = fixed_thresholds(judge, (easy, hard))
    one, other = (fixed_thresholds(judge, (part,)) for part in (easy, hard))
    assert all(both[label] == max(one[label], other[label]) for label in LABELS)


def test_a_cut_is_above_what_has_to_stay_out() -> None:
    values = np.linspace(0, 1, 6000, dtype=np.float32)[::-1].copy()
    place = cut(values)
    assert 0 < int((values >= place).sum()) <= 21
    few = np.array([0.2, 0.9, 0.4], np.float32)
    assert cut(few) > 0.9


def test_a_judge_that_never_errs_gets_the_least_threshold() -> None:
    class Sure(Noisy):
        def scores(self, pictures: Tensor) -> Tensor:
            return (super().scores(pictures) > 2).float()

    assert set(fixed_thresholds(Sure(), (made(0, 0),)).values()) == {LEAST}


def test_thresholds_lie_beside_the_classifier_and_are_read_there(
    tiny_state: Path, tmp_path: Path
) -> None:
    from diffusers import AutoencoderKL

    folder = tmp_path / "judge"
    shutil.copytree(tiny_state / "judge", folder)
    (folder / "thresholds.json").unlink()
    with quietly():
        vae = AutoencoderKL.from_pretrained(tiny_state / "vae")
        report = module.calibrate(folder, vae, seed=3, count=120)
    written = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
    judge = Classifier(folder=str(folder))
    assert judge.labels == LABELS
    assert dict(judge.thresholds) == written == {k: v["threshold"] for k, v in report.items()}
    assert all(LEAST <= value <= MOST for value in written.values())
    one, other = (torch.zeros(1, 3, 64, 64, dtype=torch.uint8) for _ in range(2))
    assert torch.equal(judge.scores(one), judge.scores(other))


@pytest.mark.parametrize("count", [24])
def test_pictures_for_thresholds_show_glyphs_that_no_judge_trained_on(
    count: int, tiny_state: Path
) -> None:
    from diffusers import AutoencoderKL

    with quietly():
        vae = AutoencoderKL.from_pretrained(tiny_state / "vae")
    others, known = module.test_pictures(vae, 1, count)
    assert (others.targets[:, LABELS.index("other")] == 1).all()
    assert (known.targets[:, LABELS.index("other")] == 0).all()
    assert others.pictures.shape == known.pictures.shape == (count, 64, 64, 3)
