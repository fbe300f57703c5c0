"""Concepts by name, from files, and completed with what a model says of them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from excise.api.reading import check_read
from excise.errors import BadConcept, BadFile, UnknownName, suggest, unknown
from excise.primitives.prompts import completed
from excise.types import Concept, TextToImage

ConceptSource = Concept | str | os.PathLike[str]

FIELDS = (
    "name", "kind", "synonyms", "held_back", "templates", "neighbours", "anchor", "pictures",
    "unsafe",
)  # fmt: skip
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def concept_of(model: TextToImage, source: ConceptSource) -> Concept:
    """A concept with what the model says of it.

    source: a concept, which may be any; the path of a ``concept.toml``; or a word. Of a model that
        lists what it knows the word must be in the list.

    Raises:
        UnknownName: the model does not know the word. UserError: it does not read a name to its
            end. BadConcept, BadFile: as `read_concept`.
    """
    found = completed(model, _concept(model, source))
    check_read(model, (*found.names, *found.held_back), "names of a concept")
    return found


def _concept(model: TextToImage, source: ConceptSource) -> Concept:
    if isinstance(source, Concept):
        return source
    text = os.fspath(source)
    if text.endswith(".toml"):
        return read_concept(Path(text), model.picture_size)
    if not isinstance(source, str):
        raise BadFile(f"expected the path of a concept.toml, got {text!r}")
    names = [row.name for row in model.known]
    if names and text not in names:
        owner = next((r.name for r in model.known if text in (*r.synonyms, *r.held_back)), None)
        if owner is not None:
            raise UnknownName(
                f"expected a concept as {model.name!r} calls it, got {text!r}, which is another "
                f"word for {owner!r}; say {owner!r}"
            )
        raise unknown("concept", text, names)
    return Concept(text)


def concepts_of(
    model: TextToImage, source: ConceptSource | Sequence[ConceptSource]
) -> tuple[Concept, ...]:
    """One concept or several. Raises as `concept_of`, and BadConcept for none."""
    many = [source] if isinstance(source, Concept | str | os.PathLike) else list(source)
    if not many:
        raise BadConcept("expected a concept, got none; name one, such as cat")
    return tuple(concept_of(model, one) for one in many)


def read_concept(path: Path | str, size: tuple[int, int] | None = None) -> Concept:
    """A concept from a TOML file, whose keys are the fields of `Concept`.

    ``pictures`` is a folder of pictures that show it, relative to the file. size: (height, width)
    that they are brought to; needed if there are any of different sizes.

    Raises:
        BadFile: no such file, no TOML, no picture. BadConcept: a key or a value that is not one.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(
            f"expected a concept in {file}: {error.strerror}; name another file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadFile(f"expected TOML in {file}: {error}; mend the file") from error
    for key in data:
        if key not in FIELDS:
            raise BadConcept(
                f"{file} has a key {key!r} that no concept has: {suggest(key, FIELDS)}"
            )
    if not isinstance(data.get("name"), str):
        raise BadConcept(f'expected name = "..." in {file}, got {data.get("name")!r}')
    fields: dict[str, Any] = {"name": data["name"], "kind": data.get("kind", "object")}
    for key in ("synonyms", "held_back", "templates", "neighbours"):
        fields[key] = _texts(file, data, key)
    if (anchor := data.get("anchor")) is not None and not isinstance(anchor, str):
        raise BadConcept(f"expected a text for anchor in {file}, got {anchor!r}")
    fields["anchor"] = anchor
    if not isinstance(unsafe := data.get("unsafe", False), bool):
        raise BadConcept(f"expected true or false for unsafe in {file}, got {unsafe!r}")
    fields["unsafe"] = unsafe
    if (folder := data.get("pictures")) is not None:
        if not isinstance(folder, str):
            raise BadConcept(f"expected a folder for pictures in {file}, got {folder!r}")
        fields["pictures"] = read_pictures(file.parent / folder, size)
    return Concept(fields.pop("name"), **fields)


def read_pictures(folder: Path | str, size: tuple[int, int] | None = None) -> Tensor:
    """The pictures in a folder by name, uint8 (n, 3, h, w).

    size: (height, width); each is cut to its middle of that shape and resized. Left out, they have
    to be of one size already. Raises BadFile.
    """
    place = Path(folder)
    files = sorted(f for f in place.glob("*") if f.suffix.lower() in PICTURES)
    if not files:
        raise BadFile(
            f"expected pictures ({', '.join(PICTURES)}) in the folder {place}, got none; name "
            "another folder"
        )
    rows = []
    for file in files:
        try:
            with Image.open(file) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise BadFile(f"expected a picture in {file}: {error}; remove or mend it") from error
        if size is not None:
            picture = _fitted(picture, size)
        rows.append(torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1))
    if len({row.shape for row in rows}) > 1:
        raise BadFile(f"expected pictures of one size in {place}, got several; resize them")
    return torch.stack(rows)


def _fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    height, width = size
    if picture.size == (width, height):
        return picture
    scale = min(picture.width / width, picture.height / height)
    w, h = width * scale, height * scale
    left, top = (picture.width - w) / 2, (picture.height - h) / 2
    box = (left, top, left + w, top + h)
    return picture.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _texts(file: Path, data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise BadConcept(f'expected {key} = ["...", "..."] in {file}, got {value!r}')
    return tuple(value)
