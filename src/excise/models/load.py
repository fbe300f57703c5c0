"""From a name, folder, file, hub id or pipeline to a model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from excise.errors import BadConcept, BadFile, ExciseError, Unsupported, UserError, unknown
from excise.models.base import DiffusionModel
from excise.models.files import check_complete, single_file_class
from excise.models.precision import fast_bfloat16
from excise.models.quiet import quietly
from excise.models.sd3 import StableDiffusion3
from excise.models.sdxl import StableDiffusionXL
from excise.models.stable_diffusion import StableDiffusion
from excise.types import Concept, Defaults

FAMILIES: Mapping[str, type[DiffusionModel]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
}
ASSETS = Path(__file__).parents[1] / "assets"
# Beside model_index.json; all optional: base, steps, guidance, scheduler, weighting, concepts, the
# name of a world, whose renders it was trained on, and the folders of a judge, an auditor, a CLIP
# and of sheets of decoys, relative to its own.
NOTES = "excise.json"
PLACES = ("judge", "auditor", "clip", "decoy_pictures")
PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def embedded() -> tuple[str, ...]:
    """The names of the models in the package, such as ``emoji`` and ``emoji/without-cat``."""
    found = {path.parent for file in ("model_index.json", NOTES) for path in ASSETS.rglob(file)}
    return tuple(sorted(folder.relative_to(ASSETS).as_posix() for folder in found))


def load(
    source: Any,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    config: str | Path | None = None,
    autocast: bool | None = None,
) -> DiffusionModel:
    """A model behind the seam.

    source: the name of an embedded model, a folder in the diffusers layout, a ``.safetensors``
        file, an id on the hub, or a pipeline, which is used as it is and never changed for good.
    device: left out, a CUDA device if there is one, else the CPU.
    dtype: left out, float32. autocast: run denoiser and decoder in bfloat16 where that is safe,
        the weights staying as they are; left out, on processors that are faster at it.
    config: for a single file, a folder with the configurations of its kind; left out, diffusers
        looks for it on the hub.

    Raises UnknownName, BadFile, Unsupported, or UserError. Pickled files are never opened, and no
    code that comes with a model is run.
    """
    if not isinstance(source, str | os.PathLike):
        return _fast(of_pipeline(source, type(source).__name__), autocast)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kind = dtype or torch.float32
    notes: dict[str, Any] = {}
    path = _folder_of(str(source)) or Path(source)
    _refuse_pickled(path)
    with quietly():
        try:
            if path.is_file():
                pipeline = _from_file(path, kind, config)
            elif path.is_dir():
                pipeline, notes = _from_folder(path, kind)
            else:
                pipeline = _from_hub(str(source), kind)
            pipeline.to(place)
        except ExciseError:
            raise
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            said = str(error).rstrip(". \n")
            raise BadFile(
                f"could not load {source}: {said}; is it complete? copy or download it again"
            ) from error
    pipeline.set_progress_bar_config(disable=True)
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.requires_grad_(False).eval()
    name = str(source) if path.is_relative_to(ASSETS) else path.name
    return _fast(of_pipeline(pipeline, name, notes), autocast)


def _fast(model: DiffusionModel, autocast: bool | None) -> DiffusionModel:
    known = fast_bfloat16(model.device, model.dtype)
    model.autocast = known if autocast is None else autocast
    return model


def of_pipeline(
    pipeline: Any, name: str, notes: Mapping[str, Any] | None = None, *, autocast: bool = False
) -> DiffusionModel:
    """A live pipeline behind the seam. Raises Unsupported for a family that is not known."""
    family = _family(type(pipeline).__name__)
    network = getattr(pipeline, family.denoiser).config
    reads, is_given = int(network.in_channels), int(pipeline.vae.config.latent_channels)
    if reads != is_given or network.get("time_cond_proj_dim") is not None:
        raise Unsupported(
            f"expected a denoiser that reads {is_given} channels and a timestep, got one of "
            f"{reads} channels or with a further condition (inpainting, consistency models); use "
            "the model that it was made from"
        )
    model = family(pipeline, name, autocast=autocast)
    notes = notes or {}
    try:
        model.defaults = Defaults(
            steps=int(notes.get("steps", model.defaults.steps)),
            guidance=float(notes.get("guidance", model.defaults.guidance)),
            scheduler=str(notes.get("scheduler", model.defaults.scheduler)),
        )
        model.known = tuple(_concept(row) for row in notes.get("concepts", ()))
    except (KeyError, TypeError, ValueError, AttributeError, BadConcept) as error:
        raise BadFile(
            f"expected numbers and concepts in the {NOTES} of {name!r}, got something else "
            f"({error!r}); mend or remove that file"
        ) from error
    model.weighting = str(notes.get("weighting", "uniform"))
    model.notes = dict(notes)
    return model


def _concept(row: Mapping[str, Any]) -> Concept:
    return Concept(
        row["name"],
        kind=row.get("kind", "object"),
        synonyms=tuple(row.get("synonyms", ())),
        held_back=tuple(row.get("held_back", ())),
        neighbours=tuple(row.get("neighbours", ())),
    )


def _family(class_name: Any) -> type[DiffusionModel]:
    if not isinstance(class_name, str) or class_name not in FAMILIES:
        raise Unsupported(
            f"expected a pipeline among {', '.join(FAMILIES)}, got {class_name}; other families "
            "are not supported yet"
        )
    return FAMILIES[class_name]


def _class(class_name: Any) -> Any:
    _family(class_name)
    return getattr(import_module("diffusers"), class_name)


def _folder_of(source: str) -> Path | None:
    """The folder of an embedded name. A folder of the user's with that name comes first."""
    if Path(source).exists():
        return None
    names = embedded()
    if source in names:
        return ASSETS / source
    roots = {name.split("/")[0] for name in names}
    if "/" not in source.strip("/") or source.split("/")[0] in roots:
        raise unknown("model or folder", source, names)
    return None


def _refuse_pickled(path: Path) -> None:
    files = [path]
    if path.is_dir():
        # No deeper, where nothing is read from: somebody may name the folder of all that is theirs.
        found = [*path.glob("*"), *path.glob("*/*")]
        files = [file for file in found if file.suffix in (".safetensors", *PICKLED)]
        safe = {file.parent for file in files if file.suffix == ".safetensors"}
        files = [file for file in files if file.parent not in safe]
    for file in files:
        if file.suffix in PICKLED and file.name != "training_args.bin":
            raise BadFile(
                f"expected .safetensors, got {file}: opening a pickled file can run any code. "
                "Convert it where you trust it: pipeline = StableDiffusionPipeline."
                "from_single_file(...) or .from_pretrained(...), then "
                "pipeline.save_pretrained(folder, safe_serialization=True)"
            )


def _from_folder(folder: Path, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """The pipeline, with components of its own over those of a base that its notes name."""
    notes = _notes(folder)
    home = (folder / notes["base"]).resolve() if "base" in notes else folder
    if not (home / "model_index.json").exists():
        raise BadFile(
            f"expected model_index.json in {home}: a folder in the diffusers layout, as "
            "pipeline.save_pretrained(folder) writes it"
        )
    index = _json(home / "model_index.json")
    own = {}
    if home != folder:
        for name in (name for name in index if (folder / name).is_dir()):
            library, class_name = index[name]
            kind = getattr(import_module(library), class_name)
            own[name] = kind.from_pretrained(str(folder / name), torch_dtype=dtype)
        notes = {**_notes(home), **notes}
    kind = _class(index.get("_class_name"))
    pipeline = kind.from_pretrained(
        str(home), torch_dtype=dtype, use_safetensors=True, **_without_checker(kind), **own
    )
    check_complete(pipeline, {name: folder if name in own else home for name in index})
    return pipeline, notes


def _notes(folder: Path) -> dict[str, Any]:
    """What a folder says of its model, places in full."""
    notes = _json(folder / NOTES) if (folder / NOTES).exists() else {}
    return notes | {key: str((folder / notes[key]).resolve()) for key in PLACES if key in notes}


def _from_file(file: Path, dtype: torch.dtype, config: str | Path | None) -> Any:
    if file.suffix != ".safetensors":
        raise BadFile(f"expected a folder or a .safetensors file, got {file}")
    kind = _class(single_file_class(file))
    where = {} if config is None else {"config": str(config)}
    return kind.from_single_file(str(file), torch_dtype=dtype, **where, **_without_checker(kind))


def _from_hub(name: str, dtype: torch.dtype) -> Any:
    kind: Any = import_module("diffusers").DiffusionPipeline
    try:
        kind = _class(kind.load_config(name).get("_class_name"))
        return kind.from_pretrained(
            name, torch_dtype=dtype, use_safetensors=True, **_without_checker(kind)
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"expected {name!r} to be a folder, an embedded model or an id on the hub that can be "
            f"reached and has .safetensors files: {error}"
        ) from error


def _without_checker(kind: Any) -> dict[str, Any]:
    """The checker turns some pictures black, which looks like erasure, and costs a gigabyte."""
    if "safety_checker" not in getattr(kind, "_optional_components", []):
        return {}
    return {"safety_checker": None, "requires_safety_checker": False}


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadFile(f"expected JSON in {file}: {error}") from error
    if not isinstance(value, dict):
        raise BadFile(f"expected a JSON object in {file}, got {type(value).__name__}")
    return value
