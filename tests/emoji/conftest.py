"""Tiny random networks of the shipped classes, exported as the shipped ones are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from excise.emoji import autoencoder, clip, judging, unet
from excise.emoji.build import Build
from excise.emoji.export import save_reader
from excise.models.quiet import quietly
from excise.rng import isolated
from excise.store import write_json


@pytest.fixture(scope="session")
def tiny_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A build's state folder in which every stage but one oracle is finished, untrained."""
    state = tmp_path_factory.mktemp("state")
    build = Build(state, seed=7)
    with pytest.MonkeyPatch.context() as patch, isolated(0), quietly():
        patch.setattr(autoencoder, "CHANNELS", (8, 8, 16, 16))
        patch.setattr(unet, "CHANNELS", (16, 32))
        tokenizer = build.tokenizer()
        vae = autoencoder.make()
        vae.register_to_config(scaling_factor=0.5)
        vae.save_pretrained(state / "vae")
        vae.save_pretrained(state / "vae-sharp")
        clip.make(len(tokenizer)).save_pretrained(state / "clip")
        for name in ("emoji", "without-cat"):
            unet.make().save_pretrained(state / f"unet-{name}")
        for which in ("judge", "auditor"):
            save_reader(judging.make(which), state / which, judging.SEEN[which])
            write_json(state / which / "thresholds.json", {"cat": 0.75})
            row = {"threshold": 0.75, "false_alarms": 0.0031, "hits": 0.978}
            write_json(state / which / "quality.json", {"cat": row})
    return state


@pytest.fixture(scope="session")
def tiny_assets(tiny_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `build --export` makes of it."""
    assets = tmp_path_factory.mktemp("assets")
    with quietly():
        Build(tiny_state, seed=7).export(assets)
    return assets
