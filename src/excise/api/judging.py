"""Which judge? The one given, else the model's own, else a CLIP that is at hand."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from excise import registry
from excise.errors import BadFile, BadSetting, MissingJudge
from excise.judges.classifier import Classifier, Live, Pipeline
from excise.judges.witness import BANK, Witness
from excise.judges.zero_shot_clip import ZeroShotClip
from excise.primitives.clip import Clip
from excise.primitives.prompts import kept_concepts
from excise.primitives.vision import Call, Extractor, checkpoint, extractor_of
from excise.types import Concept, Judge, TextToImage

JudgeSource = Judge | Pipeline | str | os.PathLike[str]
FeaturesSource = Call | Extractor | str | os.PathLike[str]

CLIPS = ("openai/clip-vit-large-patch14", "openai/clip-vit-base-patch32")
"""Checkpoints that are used if they were downloaded before; nothing is downloaded."""

WAYS = (
    "give one with --judge (an image classifier of transformers or a CLIP, by folder or hub id, or "
    "nudenet), or make an edit that is not verified, at a strength of your own: --strength 1 "
    "--no-search"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Judges:
    """The judge that counts, and those that are only compared with it."""

    first: Judge
    others: tuple[Judge, ...] = ()


def judges_for(
    model: TextToImage, concepts: Sequence[Concept], judge: JudgeSource | None = None
) -> Judges:
    """The judge to use for some concepts on a model.

    judge: a judge; a classifier of `transformers` or a CLIP, by folder or hub id; a live pipeline
        for image classification; the name of a judge without settings, such as nudenet. Left out,
        the model's own, with its auditor and the witness; else a CLIP that the model names, or one
        of `CLIPS` in the hub's cache.

    Raises:
        MissingJudge: there is none, or its package is not installed. BadFile: what was named is
        neither a classifier nor a CLIP.
    """
    if judge is not None:
        if isinstance(judge, str | os.PathLike):
            return Judges(first=_named(judge, model, concepts))
        return Judges(first=Live(pipeline=judge) if isinstance(judge, Pipeline) else judge)
    notes: Mapping[str, Any] = getattr(model, "notes", {})
    own = _place(notes, "judge")
    if own is not None:
        others: list[Judge] = []
        if (auditor := _place(notes, "auditor")) is not None:
            others.append(_from_folder(auditor, model, concepts))
        if BANK.exists():
            others.append(Witness())
        return Judges(first=_from_folder(own, model, concepts), others=tuple(others))
    clip = _place(notes, "clip") or _cached()
    if clip is not None:
        return Judges(first=_clip(clip, model, concepts))
    raise MissingJudge(
        f"expected a judge that can see {', '.join(repr(c.name) for c in concepts)} in a picture, "
        f"but {model.name!r} brings none and no CLIP is in the cache; {WAYS}"
    )


def features_of(source: FeaturesSource | None) -> Call | Extractor | None:
    """What describes pictures by vectors.

    source: an image classifier of `transformers` or a CLIP, by folder or hub id; anything that has
        ``features``; or a function or module from uint8 (n, 3, h, w) to (n, d).

    Raises:
        BadFile: what was named is neither a classifier nor a CLIP. Unsupported: a classifier that
        has no features. BadSetting: something else.
    """
    if isinstance(source, str | os.PathLike):
        kind = _kind(checkpoint(source))
        found = Clip(source=str(source)) if kind == "clip" else Classifier(folder=str(source))
        found.features(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))  # said now, not in an hour
        return found
    if source is not None and extractor_of(source) is None:
        raise BadSetting(
            f"expected a classifier, a CLIP, or a function of pictures for features, got "
            f"{type(source).__name__}; name a folder or an id on the hub"
        )
    return source


def clip_named(source: str | os.PathLike[str] | None) -> Clip | None:
    """A CLIP by folder or hub id. Raises BadFile for anything else."""
    if source is None:
        return None
    if (kind := _kind(checkpoint(source))) != "clip":
        raise BadFile(
            f"expected a CLIP saved by transformers in {os.fspath(source)}, got {kind or 'none'}; "
            "name another folder or id, such as openai/clip-vit-base-patch32"
        )
    found = Clip(source=str(source))
    _ = found.model, found.digest
    return found


def brings_one(model: TextToImage) -> bool:
    """Does the model's folder name a judge?"""
    return _place(getattr(model, "notes", {}), "judge") is not None


def tried(judge: Judge, model: TextToImage, concepts: Sequence[Concept]) -> Judge:
    """The judge, after it was asked about a grey picture.

    So what is wrong with it is said now, and not after an hour of work.

    Raises:
        BadFile: its folder is not complete. UnknownName: it does not know a concept.
    """
    grey = torch.full((1, 3, *model.picture_size), 128, dtype=torch.uint8)
    for concept in concepts:
        judge.score(grey, concept)
    return judge


def _named(
    source: str | os.PathLike[str], model: TextToImage, concepts: Sequence[Concept]
) -> Judge:
    """A folder comes first, then a judge's name, then an id on the hub."""
    name = str(source)
    if not Path(source).exists():
        if name.replace("-", "_") in registry.names("judge"):
            made: Judge = registry.create("judge", name)
            return made
        if name.count("/") == 1 and not name.startswith((".", "/", "~")):
            return _from_folder(checkpoint(name), model, concepts, name)
    return _from_folder(Path(source), model, concepts)


def _from_folder(
    folder: Path, model: TextToImage, concepts: Sequence[Concept], source: str | None = None
) -> Judge:
    """source: what to call it by, if not by the folder."""
    if _kind(folder) == "clip":
        return _clip(source or folder, model, concepts)
    return Classifier(folder=source or str(folder))


def _kind(folder: Path) -> str | None:
    """What a checkpoint says that it is. Raises BadFile."""
    config = folder / "config.json"
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise BadFile(
            f"expected the folder of an image classifier or of a CLIP, with config.json in it, got "
            f"{folder}; {WAYS}"
        ) from error
    return None if kind is None else str(kind)


def _clip(folder: Path | str, model: TextToImage, concepts: Sequence[Concept]) -> Judge:
    rest = kept_concepts(model, concepts)
    names = [*(concept.name for concept in concepts), *(row.name for row in rest)]
    return ZeroShotClip(folder=str(folder), names=tuple(dict.fromkeys(names)))


def _place(notes: Mapping[str, Any], key: str) -> Path | None:
    """A folder that a model's notes name, if it is there."""
    folder = Path(str(notes[key])) if notes.get(key) else None
    return folder if folder is not None and (folder / "config.json").exists() else None


def _cached() -> Path | None:
    """The folder of a CLIP in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    for name in CLIPS:
        files = [try_to_load_from_cache(name, f) for f in ("config.json", "model.safetensors",
                 "preprocessor_config.json")]  # fmt: skip
        if all(isinstance(file, str) for file in files):
            return Path(str(files[0])).parent
    return None
