"""Entries of a cache in one file, to be handed on: a zip archive that is only read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from excise.errors import BadFile
from excise.store.cache import entry
from excise.store.files import Json, atomic, explain, explain_reading, hash_json
from excise.store.tensors import Artefact, tensors_of

WHEN = (1980, 1, 1, 0, 0, 0)
"""The time of every member, the earliest that there is: the same entries give the same bytes."""


class Archive:
    """Entries of a `Cache`, each a member that is named by its key's hash.

    One that is missing or damaged counts as absent, as does the whole archive: it costs time.
    """

    def __init__(self, file: Path | str) -> None:
        self.file = Path(file)

    def get(self, key: Json) -> Artefact | None:
        """What was put under `key`, or None."""
        name = f"{hash_json(key)}.safetensors"
        try:
            with zipfile.ZipFile(self.file) as archive:
                return entry(*tensors_of(archive.read(name), name), key)
        except (OSError, KeyError, zipfile.BadZipFile, BadFile):
            return None


def pack(file: Path | str, entries: Iterable[Path]) -> None:
    """Write an `Archive` of files of a cache, whole or not at all.

    Raises:
        BadFile: one of the files cannot be read. ResourceError: no room, no permission.
    """
    held = {}
    for path in entries:
        try:
            held[path.parent.name + path.name] = path.read_bytes()
        except OSError as error:
            explain_reading(error, path)
    with atomic(file) as temporary:
        try:
            with zipfile.ZipFile(temporary, "w") as archive:
                for name, data in sorted(held.items()):
                    info = zipfile.ZipInfo(name, WHEN)
                    archive.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=9)
        except OSError as error:
            explain(error, Path(file))
