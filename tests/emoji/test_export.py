from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from excise.emoji import unet
from excise.emoji.build import Build, main
from excise.emoji.cards import write_cards
from excise.emoji.export import ORACLES
from excise.emoji.quality import measure
from excise.emoji.world import World
from excise.errors import UserError
from excise.models.load import load
from excise.models.quiet import quietly
from excise.rng import isolated
from excise.store import sha256_file

PLAIN = """
import sys, torch
from diffusers import StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1])
pipe.set_progress_bar_config(disable=True)
made = pipe("a cat", num_inference_steps=2, generator=torch.Generator().manual_seed(0))
assert made.images[0].size == (64, 64), made.images[0].size
assert not any(name.split(".")[0] == "excise" for name in sys.modules)
"""


@pytest.mark.slow
def test_a_plain_process_loads_what_was_exported(tiny_assets: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(tiny_assets / "emoji")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_base_and_oracle_share_all_but_the_denoiser(tiny_assets: Path) -> None:
    base = load(tiny_assets / "emoji", device="cpu")
    oracle = load(tiny_assets / "emoji" / "without-cat", device="cpu")
    for name, weight in base.parameters("*").items():
        same = torch.equal(weight, oracle.parameters("*")[name])
        assert same or name.startswith("unet.")
    assert any(
        not torch.equal(weight, oracle.parameters("unet")[name])
        for name, weight in base.parameters("unet").items()
    )
    files = {file.name for file in (tiny_assets / "emoji" / "without-cat").rglob("*.safetensors")}
    assert files == {"diffusion_pytorch_model.safetensors"}


def test_what_is_not_finished_is_not_exported(tiny_assets: Path) -> None:
    assert not (tiny_assets / "emoji" / "without-truck").exists()


def test_nothing_is_exported_without_a_base(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sharp, clip, emoji"):
        Build(tmp_path, 0).export(tmp_path / "assets")
    with pytest.raises(SystemExit):
        main(["--state", str(tmp_path), "--export", str(tmp_path / "assets")])
    assert not (tmp_path / "assets").exists()


def test_cards_name_the_files_that_lie_beside_them(tiny_assets: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_assets, tmp_path / "a")
    for card in write_cards(tmp_path / "a"):
        text = card.read_text(encoding="utf-8")
        for file in card.parent.glob("*/*.safetensors"):
            assert sha256_file(file)[:16] in text
        assert "Noto Emoji" in text
    lines = (tmp_path / "a" / "emoji" / "README.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("| U-Net")).split("|")
    assert row[2].split("+") == [f" {lesson.schedule.steps} " for lesson in unet.LESSONS]


@pytest.mark.slow
def test_figures_of_a_model_that_draws_noise(tiny_assets: Path) -> None:
    with quietly():
        found = measure(tiny_assets / "emoji", pictures=22, witness=False)
    json.dumps(found, allow_nan=False)
    assert not all(row["met"] for row in found["demands"].values())
    assert found["weights"]["unet"] == sha256_file(
        tiny_assets / "emoji" / "unet" / "diffusion_pytorch_model.safetensors"
    )


def test_oracles_begin_as_one_that_knows_neither_group(
    tiny_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_state, tmp_path / "state")
    for name in ("emoji", *ORACLES):
        shutil.rmtree(tmp_path / "state" / f"unet-{name}", ignore_errors=True)
    given: dict[str, Any] = {}

    def train(world: World, *parts: Any, shared: Any, **_: Any) -> torch.nn.Module:
        given[parts[3].stem] = (world.without, shared)
        with isolated(0):
            return unet.make()

    monkeypatch.setattr(unet, "CHANNELS", (16, 32))
    monkeypatch.setattr(unet, "train", train)
    build = Build(tmp_path / "state", seed=7)
    for name in ("emoji", *ORACLES):
        build.denoiser(name)
    assert given["unet-emoji"] == (frozenset(), None)
    begun = [given[f"unet-{name}"][1] for name in ORACLES]
    assert {state for _, state in begun} == {tmp_path / "state" / "unet-oracles.safetensors"}
    for name, without in ORACLES.items():
        assert given[f"unet-{name}"][0] == without
        assert all(without <= world.without for world, _ in begun)
