"""From what stands on the command line to what the functions take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from excise.errors import BadConcept, BadSetting, Unsupported

if TYPE_CHECKING:
    from excise.types import Concept, Kind, TextToImage


@dataclass(frozen=True, kw_only=True)
class Described:
    """What options say of a concept beside its name."""

    synonyms: Sequence[str] = ()
    neighbours: Sequence[str] = ()
    images: Path | None = None
    kind: str | None = None
    unsafe: bool = False

    @property
    def empty(self) -> bool:
        """Nothing was said."""
        return not (self.synonyms or self.neighbours or self.images or self.kind or self.unsafe)


def load_model(source: str, device: str | None, dtype: str | None) -> TextToImage:
    """The model, on a device that is there.

    Raises:
        BadSetting: no device is called so. Unsupported: this machine has none. As `excise.load`.
    """
    from excise import api

    return api.load(source, device=None if device is None else checked(device), dtype=dtype)


def asked_models(
    source: str, base: str | None, edit: object, device: str | None, dtype: str | None
) -> tuple[TextToImage, TextToImage]:
    """The model in question, and the unedited one where a base is named: it knows the concepts.

    Raises BadSetting for a base beside an edit, whose model is the unedited one; as `load_model`.
    """
    if base is not None and edit is not None:
        raise BadSetting(
            f"expected --base or --edit, got both: an edit is applied to --model, here {source!r}, "
            "which is its base; leave --base out"
        )
    live = load_model(source, device, dtype)
    return live, live if base is None else load_model(base, device, dtype)


def checked(device: str) -> str:
    """A device that this machine has. Raises BadSetting, Unsupported."""
    import torch

    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise BadSetting(
            f"expected a device such as cpu, cuda, cuda:1 or mps, got {device!r}"
        ) from error
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": _metal()}.get(wanted.type, 0)
    if (wanted.index or 0) >= there:
        raise Unsupported(
            f"expected a device of this machine, got {device!r}, of which it has {there}; "
            "leave --device out, or say --device cpu"
        )
    return device


def concept_of(model: TextToImage, word: str, said: Described) -> Concept | str:
    """A word or a ``concept.toml``, as it is; with options, the concept that they describe.

    Raises:
        BadConcept, BadFile: as they say.
    """
    if said.empty:
        return word
    from excise.api.concepts import read_concept, read_pictures
    from excise.types import Concept

    if word.endswith(".toml"):
        known: Concept | None = read_concept(word, model.picture_size)
    else:
        known = next((one for one in model.known if one.name == word), None)
    found = known or Concept(word)
    if said.kind is not None:
        found = replace(found, kind=cast("Kind", said.kind), templates=())  # those of the kind
    if said.images is not None:
        found = replace(found, pictures=read_pictures(said.images, model.picture_size))
    return replace(
        found,
        synonyms=_joined(found.synonyms, said.synonyms),
        neighbours=_joined(found.neighbours, said.neighbours),
        unsafe=found.unsafe or said.unsafe,
    )


def concepts_of(model: TextToImage, words: Sequence[str], said: Described) -> list[Concept | str]:
    """Several. Raises BadConcept for options that could belong to any of them."""
    if len(words) > 1 and not said.empty:
        raise BadConcept(
            f"expected one concept with --synonym, --neighbour, --images, --kind or --unsafe, got "
            f"{len(words)}; write a concept.toml for each"
        )
    return [concept_of(model, word, said) for word in words]


def check_seen(method: str, concepts: Sequence[Concept | str]) -> None:
    """Raises BadConcept where pictures were given to a method that does not look at them."""
    from excise import registry

    kinds = [one.kind for one in concepts if not isinstance(one, str) and one.pictures is not None]
    if all(_sees(method, kind) for kind in kinds):
        return
    others = [name for name in registry.names("eraser") if all(_sees(name, k) for k in kinds)]
    raise BadConcept(
        f"expected words alone for {method}, which looks at no pictures of such a concept, got "
        f"--images; leave it out, or take one of {', '.join(others)}"
    )


def unseen(method: str, concepts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of a recipe's concepts that brought pictures which the method did not look at."""
    return tuple(
        str(one["name"])
        for one in concepts
        if one.get("pictures") and not _sees(method, one["kind"])
    )


def _sees(method: str, kind: Kind) -> bool:
    from excise import registry

    return bool(registry.get("eraser", method).sees(kind))


def file_name(words: Sequence[str]) -> str:
    """What an edit is called if nobody says: ``no-cat.safetensors``."""
    names = [Path(word).stem if word.endswith(".toml") else word for word in words]
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(names).lower()).strip("-")
    return f"no-{slug[:60] or 'concept'}.safetensors"


def _joined(known: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*known, *more]))


def _metal() -> int:
    import torch

    return int(torch.backends.mps.is_available())


def said(
    synonym: list[str] | None,
    neighbour: list[str] | None,
    images: Path | None,
    kind: str | None,
    unsafe: bool,
) -> Described:
    """The options that describe a concept."""
    return Described(
        synonyms=synonym or (), neighbours=neighbour or (), images=images, kind=kind, unsafe=unsafe
    )


def target_of(model: TextToImage, word: str | None, said: Described) -> Concept | str | None:
    """The concept that is looked for; None for that of the edit. Raises BadConcept."""
    if word is None and not said.empty:
        raise BadConcept(
            "expected a concept that --synonym, --neighbour, --images, --kind or --unsafe belong "
            "to, got none; name it, as in excise attack cat --synonym kitten"
        )
    return None if word is None else concept_of(model, word, said)
