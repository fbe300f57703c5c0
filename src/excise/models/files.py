"""What the files of a model hold, read from their headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from excise.errors import BadFile
from excise.models.names import named_parameters


def keys_of(file: Path) -> set[str]:
    """The names of the tensors in a ``.safetensors`` file. Raises BadFile."""
    try:
        with safe_open(str(file), framework="pt") as opened:
            return set(opened.keys())
    except (OSError, SafetensorError) as error:
        raise BadFile(f"could not read {file}: {error}; is it complete?") from error


def single_file_class(file: Path) -> str:
    """Which pipeline a single file in the original layout is for."""
    keys = keys_of(file)
    if any("joint_blocks." in key for key in keys):
        return "StableDiffusion3Pipeline"
    if any(key.startswith("conditioner.embedders.") for key in keys):
        return "StableDiffusionXLPipeline"
    if any(key.startswith("model.diffusion_model.input_blocks.") for key in keys):
        return "StableDiffusionPipeline"
    some = ", ".join(sorted(keys)[:2])
    raise BadFile(
        f"expected a whole Stable Diffusion 1, 2, XL or 3 checkpoint in {file}, got {len(keys)} "
        f"tensors such as {some}; an adapter or a single network has to be given with its base"
    )


def check_complete(pipeline: Any, folders: Mapping[str, Path]) -> None:
    """Raises BadFile if a denoiser or text encoder holds weights that its folder's files lack.

    The libraries fill such gaps with random numbers and say so in a warning.
    """
    for name, folder in folders.items():
        module = getattr(pipeline, name, None)
        if not isinstance(module, nn.Module) or name == "vae":  # old files of it have other names
            continue
        files = list((folder / name).glob("*.safetensors"))
        held = {key.removeprefix("text_model.") for file in files for key in keys_of(file)}
        if "encoder.embed_tokens.weight" in held:  # T5's one embedding has two names
            held.add("shared.weight")
        live = [path.removeprefix(f"{name}.") for path in named_parameters({name: module})]
        missing = [path for path in live if path.removeprefix("text_model.") not in held]
        if missing:
            raise BadFile(
                f"expected all weights of {name} in {folder / name}, got none for "
                f"{len(missing)}, such as {missing[0]}; the files are incomplete"
            )
