"""From trained networks to folders that `diffusers` and `transformers` load by themselves."""

from __future__ import annotations

import json
from os.path import relpath
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer, PreTrainedModel

from excise.emoji.captions import SYNONYMS
from excise.emoji.glyphs import DECOYS, OBJECTS
from excise.emoji.neighbours import neighbours
from excise.emoji.styles import STYLES
from excise.emoji.unet import MIN_SNR, scheduler
from excise.errors import UserError
from excise.primitives.clip import TOWERS
from excise.store import sha256_file, write_json

STEPS, GUIDANCE = 12, 3.0
"""The default sampler of the embedded model."""

ORACLES: dict[str, frozenset[str]] = {
    "without-cat": frozenset({"cat", "church", "sketch", "watermark"}),
    "without-truck": frozenset({"truck", "apple", "neon"}),
}


def text_tower(clip: CLIPModel) -> CLIPTextModel:
    """The text tower of a CLIP model, as a model of its own."""
    tower = CLIPTextModel(clip.config.text_config)
    state = {
        key.removeprefix("text_model."): value
        for key, value in clip.state_dict().items()
        if key.startswith("text_model.")
    }
    own = tower.state_dict()
    prefix = "text_model." if any(key.startswith("text_model.") for key in own) else ""
    tower.load_state_dict({prefix + key: state[key] for key in map(_bare, own)})
    return tower.eval()


def _bare(key: str) -> str:
    return key.removeprefix("text_model.")


def save_half(model: Any, folder: Path) -> None:
    """Save in half precision; the model itself stays in single precision.

    Where it was read from, which `save_pretrained` notes, is nobody's business.
    """
    model.half().save_pretrained(folder)
    model.float()
    _reconfigured(folder, drop="_name_or_path")


def _reconfigured(folder: Path, *, drop: str, **added: str) -> None:
    """Write a config again without one key and with others."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop(drop, None)
    text = json.dumps({**config, **added}, indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def save_reader(model: PreTrainedModel, folder: Path, side: int = 64) -> None:
    """Save a network that reads pictures, and what these have to look like."""
    save_half(model, folder)
    text = {
        "size": {"height": side, "width": side},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(text) + "\n", encoding="utf-8")


def save_text_encoder(tower: CLIPTextModel, folder: Path) -> None:
    """Save with the key prefix that older programs expect, marked to be loaded as float32.

    A pipeline loads this component in the precision of its config, unlike the others, and would
    then mix half and single precision.
    """
    save_half(tower, folder)
    path = folder / "model.safetensors"
    tensors = {f"text_model.{_bare(key)}": value for key, value in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    _reconfigured(folder, drop="torch_dtype", dtype="float32")


def save_clip(clip: CLIPModel, folder: Path, text_encoder: Path, tokenizer: Path) -> None:
    """Save the image tower, both projections and the scale; the text tower is that of the model.

    text_encoder: the folder in which the model has its copy, which is the same byte for byte.
    """
    save_reader(clip, folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    own = {key: value for key, value in tensors.items() if not key.startswith("text_model.")}
    shared = load_file(text_encoder / path.name)
    rest = tensors.keys() - own.keys()
    if rest != shared.keys() or not all(torch.equal(tensors[key], shared[key]) for key in rest):
        raise UserError(
            f"expected in {text_encoder} the text tower of the CLIP that is exported, got another; "
            "export the model first"
        )
    save_file(own, path, metadata={"format": "pt"})
    towers: dict[str, Any] = {
        "text_encoder": relpath(text_encoder, folder),
        "sha256": sha256_file(text_encoder / path.name),
        "tokenizer": relpath(tokenizer, folder),
    }
    write_json(folder / TOWERS, towers)


def known_concepts() -> list[dict[str, Any]]:
    """What the model can draw: name, kind, synonyms, the held-back synonym, measured neighbours."""
    near = neighbours()
    rows: list[dict[str, Any]] = []
    for name in (*OBJECTS, *(style for style in STYLES if style != "plain")):
        *given, held_back = SYNONYMS[name]
        rows.append(
            {
                "name": name,
                "kind": "object" if name in OBJECTS else "style",
                "synonyms": given,
                "held_back": [held_back],
                "neighbours": list(near.get(name, ())),
            }
        )
    rows.append({"name": "watermark", "kind": "implicit", "synonyms": [], "neighbours": []})
    return rows


def save_base(
    folder: Path,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    tower: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    tokenizer_folder: Path,
    *,
    seed: int = 0,
) -> None:
    """Write the base model's folder in the layout of `StableDiffusionPipeline`.

    tokenizer_folder: where `make_tokenizer` wrote its files. seed: what it was trained with.
    """
    save_half(unet, folder / "unet")
    save_half(vae, folder / "vae")
    save_text_encoder(tower, folder / "text_encoder")
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    for name in ("vocab.json", "merges.txt"):  # what older programs read
        (folder / "tokenizer" / name).write_bytes((tokenizer_folder / name).read_bytes())
    scheduler().save_pretrained(folder / "scheduler")
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.0",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    write_json(folder / "model_index.json", index)
    notes: dict[str, Any] = {
        "schema": "excise.model/1",
        "steps": STEPS,
        "guidance": GUIDANCE,
        "seed": seed,
        "weighting": "min_snr",
        "min_snr": MIN_SNR,
        "judge": "../judge",
        "auditor": "../auditor",
        "clip": "../clip",
        "world": "emoji",
        "concepts": known_concepts(),
        "decoys": list(DECOYS),
        "decoy_pictures": "../decoys",
        "decoy_names": {name: list(SYNONYMS[name]) for name in DECOYS},
    }
    write_json(folder / "excise.json", notes)


def save_oracle(
    folder: Path, unet: UNet2DConditionModel, without: frozenset[str], *, seed: int = 0
) -> None:
    """Write a U-Net of its own over the base's other parts."""
    save_half(unet, folder / "unet")
    notes: dict[str, Any] = {"base": "..", "without": sorted(without), "seed": seed}
    write_json(folder / "excise.json", notes)


def load_state(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Put the moving average of a training's state into a model."""
    average = {k[8:]: v for k, v in tensors.items() if k.startswith("average/")}
    model.load_state_dict(average, strict=False)
