"""Results kept between runs, under a hash of everything that they depend on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from excise.errors import BadFile, ResourceError
from excise.store.files import Json, canonical, hash_json
from excise.store.temporary import sweep
from excise.store.tensors import Artefact, load_tensors, save_tensors


class Cache:
    """A folder of artefacts by key, which any number of processes may use at the same time.

    An entry appears whole or not at all, so a reader needs no lock; of two writers of one key the
    last one stays, and both wrote the same. What is damaged counts as absent.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else default_root()

    def get(self, key: Json) -> Artefact | None:
        """What was put under `key`, or None."""
        try:
            return entry(*load_tensors(self.path(key)), key)
        except BadFile:
            return None

    def put(self, key: Json, tensors: Mapping[str, Tensor], record: Json = None) -> bool:
        """Keep an artefact under `key`; False if the folder cannot be written to or is full.

        A cache that does not work costs time, not the result, so this does not raise for it.
        """
        path = self.path(key)
        try:
            save_tensors(path, tensors, {"key": canonical(key), "record": record})
        except (ResourceError, BadFile):
            return False
        sweep(path.parent)
        return True

    def path(self, key: Json) -> Path:
        """The file of `key`, whether or not there is one."""
        digest = hash_json(key)
        return self.root / digest[:2] / f"{digest[2:]}.safetensors"


def entry(tensors: Mapping[str, Tensor], meta: Any, key: Json) -> Artefact | None:
    """What a file of a cache holds, if it is that of `key`."""
    if not isinstance(meta, dict) or meta.get("key") != canonical(key):
        return None
    return Artefact(tensors=tensors, record=meta.get("record"))


def default_root() -> Path:
    """Where the cache lives: ``EXCISE_CACHE``, else the platform's folder for caches."""
    if named := os.environ.get("EXCISE_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "excise"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base or Path.home() / "AppData" / "Local") / "excise" / "Cache"
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "excise"
