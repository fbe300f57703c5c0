"""Files: written whole or not at all, never unpickled, found again after a kill."""

from __future__ import annotations

from excise.store.archive import Archive
from excise.store.cache import Cache
from excise.store.files import (
    Json,
    atomic,
    atomic_folder,
    canonical,
    check_writable,
    hash_json,
    read_json,
    sha256_file,
    write_bytes,
    write_json,
    write_text,
)
from excise.store.stages import Stage, Stages
from excise.store.temporary import sweep
from excise.store.tensors import Artefact, hash_tensors, load_tensors, read_meta, save_tensors

__all__ = [
    "Archive",
    "Artefact",
    "Cache",
    "Json",
    "Stage",
    "Stages",
    "atomic",
    "atomic_folder",
    "canonical",
    "check_writable",
    "hash_json",
    "hash_tensors",
    "load_tensors",
    "read_json",
    "read_meta",
    "save_tensors",
    "sha256_file",
    "sweep",
    "write_bytes",
    "write_json",
    "write_text",
]
