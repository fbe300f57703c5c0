from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from excise.emoji import sharpening


def small() -> AutoencoderKL:
    torch.manual_seed(0)
    model: AutoencoderKL = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        sample_size=64,
    )
    return model


@pytest.mark.slow
def test_the_decoder_changes_and_latents_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tuple(
        replace(one, schedule=replace(one.schedule, steps=3, warmup=1))
        for one in sharpening.LESSONS
    )
    monkeypatch.setattr(sharpening, "LESSONS", short)
    monkeypatch.setattr(sharpening, "PICTURES", 16)
    monkeypatch.setattr(sharpening, "BEGIN", 1)
    before, after = small(), sharpening.train(small(), tmp_path / "s", seed=0, log=print)
    for name, weight in before.state_dict().items():
        same = torch.equal(weight, after.state_dict()[name])
        assert same == name.startswith(("encoder.", "quant_conv.")), name


def test_the_critics_opinion_reaches_the_decoder_and_not_the_critic() -> None:
    pair = sharpening.Pair(small())
    opinion, seen = pair.judged(pair.decoded(torch.zeros(1, 16, 8, 8)))
    shapes = [tuple(x.shape[1:]) for x in (opinion, *seen)]
    assert shapes == [(1, 8, 8), (32, 32, 32), (64, 16, 16), (128, 8, 8)]
    opinion.mean().backward()
    assert all(p.grad is None for p in pair.critic.parameters())
    assert any(p.grad is not None for p in pair.decoder.parameters())
