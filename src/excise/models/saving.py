"""A pipeline as a folder in the diffusers layout, written whole or not at all, for any reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from excise.errors import Unsupported
from excise.models.quiet import quietly
from excise.store import atomic_folder, write_json
from excise.store.tensors import explain_library


def save(pipeline: Any, folder: Path, notes: dict[str, Any]) -> None:
    """Write a pipeline with its weights as they are now, in their own precision.

    notes: what ``excise.json`` beside ``model_index.json`` is to say.

    Raises:
        BadFile: there is something at `folder`. ResourceError: no room, no permission.
        Unsupported: the pipeline has adapters, which the layout has no place for.
    """
    for name, component in pipeline.components.items():
        if isinstance(component, nn.Module) and _has_adapters(component):
            raise Unsupported(
                f"expected a pipeline without adapters to save, but {name} has some; first call "
                "pipeline.fuse_lora() and pipeline.unload_lora_weights(), or unload them"
            )
    with atomic_folder(folder) as temporary:
        try:
            with quietly():
                pipeline.save_pretrained(temporary, safe_serialization=True)
            for config in sorted(temporary.glob("text_encoder*/config.json")):
                _for_older_encoders(config)
        except SafetensorError as error:
            explain_library(error, folder)
        for tokenizer in sorted(temporary.glob("tokenizer*/tokenizer.json")):
            _for_older_tokenizers(tokenizer)
        write_json(temporary / "excise.json", notes)


def _has_adapters(module: nn.Module) -> bool:
    return any(type(part).__module__.startswith("peft.") for part in module.modules())


def _for_older_encoders(path: Path) -> None:
    """Published files of CLIP's text model have a prefix that transformers 5 leaves out.

    And a plain ``from_pretrained`` loads a text encoder in the precision of its configuration,
    unlike a pipeline's other networks, so that one in half precision would not fit to them.
    """
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("dtype", config.get("torch_dtype")) in ("float16", "bfloat16"):
        config.pop("torch_dtype", None)
        write_json(path, {**config, "dtype": "float32"})
    weights = path.with_name("model.safetensors")
    if config.get("architectures") == ["CLIPTextModel"] and weights.is_file():
        tensors = load_file(weights)
        if not any(name.startswith("text_model.") for name in tensors):
            tensors = {f"text_model.{name}": tensor for name, tensor in tensors.items()}
            save_file(tensors, weights, metadata={"format": "pt"})


def _for_older_tokenizers(path: Path) -> None:
    """CLIP's vocabulary in the two files that transformers 4 reads."""
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    vocabulary = path.with_name("vocab.json")
    if model.get("type") != "BPE" or vocabulary.exists():
        return
    vocabulary.write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    text = "\n".join(["#version: 0.2", *merges]) + "\n"
    path.with_name("merges.txt").write_text(text, encoding="utf-8")
