"""Train everything that ships with Excise from scratch: ``python -m excise.emoji.build``.

Stages: tokenizer, autoencoder, sharp, clip, judge, auditor, emoji, without-cat, without-truck.
Each keeps its state in a folder and goes on from there after a kill. A GPU is used if there is one.
The folders that ship are written by ``--export``, from what is finished.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPModel, CLIPTokenizer

from excise.emoji import autoencoder, calibrate, clip, judging, sharpening, unet
from excise.emoji.captions import known_words
from excise.emoji.cards import write_cards
from excise.emoji.decoy_sheets import save_decoys
from excise.emoji.export import ORACLES, save_base, save_clip, save_oracle, save_reader, text_tower
from excise.emoji.glyphs import Atlas
from excise.emoji.tokenizer import make_tokenizer
from excise.emoji.world import World
from excise.errors import UserError
from excise.store import write_json

STATE = Path.home() / ".cache" / "excise-build"
ASSETS = Path(__file__).resolve().parent.parent / "assets"
SEED = 0
STAGES = ("tokenizer", "autoencoder", "sharp", "clip", "judge", "auditor", "emoji", *ORACLES)


def _log(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


class Build:
    """The stages, each of which finds what the earlier ones left in the state folder."""

    def __init__(self, state: Path, seed: int) -> None:
        self.state, self.seed = state, seed
        state.mkdir(parents=True, exist_ok=True)

    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer; made again each time, which takes a second."""
        return make_tokenizer(known_words(), self.state / "tokenizer")

    def autoencoder(self) -> AutoencoderKL:
        """The autoencoder."""
        return self._once("vae", AutoencoderKL, self._train_autoencoder)

    def _train_autoencoder(self) -> AutoencoderKL:
        return autoencoder.train(self._file("autoencoder"), seed=self.seed, log=_log)

    def sharp(self) -> AutoencoderKL:
        """The autoencoder with its decoder trained on; the encoder is the same."""
        return self._once("vae-sharp", AutoencoderKL, self._sharpen)

    def _sharpen(self) -> AutoencoderKL:
        vae = self.autoencoder()
        return sharpening.train(vae, self._file("sharp"), seed=self.seed, log=_log)

    def clip(self) -> CLIPModel:
        """Both towers."""
        return self._once("clip", CLIPModel, self._train_clip)

    def _train_clip(self) -> CLIPModel:
        return clip.train(self.tokenizer(), self._file("clip"), seed=self.seed, log=_log)

    def classifier(self, which: judging.Which) -> Path:
        """The judge or the auditor, calibrated; its folder."""
        folder = self.state / which
        if not (folder / "thresholds.json").exists():
            vae = self.sharp()
            model = judging.train(which, vae, self._file(which), seed=self.seed, log=_log)
            save_reader(model, folder, judging.SEEN[which])
            write_json(folder / "quality.json", calibrate.calibrate(folder, vae, seed=900))
        return folder

    def denoiser(self, name: str) -> UNet2DConditionModel:
        """The base's U-Net, or an oracle's."""
        return self._once(f"unet-{name}", UNet2DConditionModel, lambda: self._train_unet(name))

    def _train_unet(self, name: str) -> UNet2DConditionModel:
        atlas, shared = Atlas(), None
        if name in ORACLES:  # hours less, and neither ever sees what it is without
            neither = World(atlas=atlas, without=frozenset().union(*ORACLES.values()))
            shared = neither, self._file("unet-oracles")
        return unet.train(
            World(atlas=atlas, without=ORACLES.get(name, frozenset())),
            self.autoencoder(),
            text_tower(self.clip()),
            self.tokenizer(),
            self._file(f"unet-{name}"),
            shared=shared,
            seed=self.seed,
            log=_log,
        )

    def run(self, stage: str) -> None:
        """One stage by name."""
        if stage in ("judge", "auditor"):
            self.classifier("judge" if stage == "judge" else "auditor")
        elif stage == "emoji" or stage in ORACLES:
            self.denoiser(stage)
        else:
            plain: dict[str, Callable[[], Any]] = {
                "tokenizer": self.tokenizer,
                "autoencoder": self.autoencoder,
                "sharp": self.sharp,
                "clip": self.clip,
            }
            plain[stage]()

    def finished(self, stage: str) -> bool:
        """Is nothing left to do in this stage?"""
        named = {"tokenizer": "tokenizer/vocab.json", "clip": "clip/config.json"}
        named |= {"autoencoder": "vae/config.json", "sharp": "vae-sharp/config.json"}
        named |= {which: f"{which}/thresholds.json" for which in ("judge", "auditor")}
        return (self.state / named.get(stage, f"unet-{stage}/config.json")).exists()

    def export(self, assets: Path) -> None:
        """Write the folders that ship, from the stages that are finished, with their cards.

        Raises UserError if the base model or what it is made of is not finished.
        """
        if missing := [s for s in ("sharp", "clip", "emoji") if not self.finished(s)]:
            raise UserError(
                f"expected a finished base model in {self.state}, got none of: "
                f"{', '.join(missing)}; first run: python -m excise.emoji.build {' '.join(missing)}"
            )
        folder, clip = assets / "emoji", self.clip()
        save_base(
            folder,
            self.denoiser("emoji"),
            self.sharp(),
            text_tower(clip),
            self.tokenizer(),
            self.state / "tokenizer",
            seed=self.seed,
        )
        save_clip(clip, assets / "clip", folder / "text_encoder", folder / "tokenizer")
        for which in filter(self.finished, ("judge", "auditor")):
            for file in sorted((self.state / which).glob("*")):
                (assets / which).mkdir(parents=True, exist_ok=True)
                (assets / which / file.name).write_bytes(file.read_bytes())
        for name in filter(self.finished, ORACLES):
            save_oracle(folder / name, self.denoiser(name), ORACLES[name], seed=self.seed)
        save_decoys(assets / "decoys")
        write_cards(assets)

    def _file(self, name: str) -> Path:
        return self.state / f"{name}.safetensors"

    def _once(self, name: str, kind: Any, make: Callable[[], Any]) -> Any:
        folder = self.state / name
        if not (folder / "config.json").exists():
            make().save_pretrained(folder)
            _log(f"{name} finished")
        return kind.from_pretrained(folder).eval().requires_grad_(False)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stages", nargs="*", help=f"default: all of {', '.join(STAGES)}")
    parser.add_argument("--state", type=Path, default=STATE, help="where unfinished work is kept")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--export", type=Path, nargs="?", const=ASSETS, help="write what ships")
    options = parser.parse_args(arguments)
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"no stage is called {', '.join(sorted(unknown))}; known: {', '.join(STAGES)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    build = Build(options.state, options.seed)
    for stage in options.stages or ([] if options.export else STAGES):
        build.run(stage)
    if options.export:
        try:
            build.export(options.export)
        except UserError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
