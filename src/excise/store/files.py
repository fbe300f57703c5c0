"""Atomic writes, canonical JSON, and what the machine's refusals mean."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from excise.errors import BadFile, ResourceError

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_TEMPORARY = ".excise-tmp"


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it becomes `path` when the block ends well.

    Missing folders are made. After any exception, a KeyboardInterrupt too, `path` is as it was and
    the temporary file is gone; after SIGKILL a hidden ``.NAME.*.excise-tmp`` may stay, which no
    reader looks at and `sweep` removes.

    Raises:
        ResourceError: the disk is full, or the folder cannot be written to.
        BadFile: `path` is a folder, or lies below something that is a file.
    """
    goal = Path(os.path.realpath(path))  # a link stays a link: its target is replaced
    temporary = goal.with_name(f".{goal.name[:80]}.{secrets.token_hex(6)}{_TEMPORARY}")
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        if goal.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        yield temporary
        _flush(temporary)
        os.replace(temporary, goal)  # noqa: PTH105  (the atomic call, by its well-known name)
        _flush_folder(goal.parent)
    except OSError as error:
        explain(error, goal)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a whole file or nothing. Raises as `atomic`."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write a whole file of UTF-8 with the line ends as they are. Raises as `atomic`."""
    write_bytes(path, text.encode("utf-8"))


def canonical(value: Json) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII, no NaN.

    Raises:
        ValueError: a number is not finite.
        TypeError: something in it is not JSON.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def hash_json(value: Json) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def write_json(path: Path | str, value: Json) -> None:
    """Write JSON for people: sorted keys, indented, ASCII, no NaN; the same bytes for equal values.

    Raises as `atomic` and `canonical`.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)
    write_bytes(path, (text + "\n").encode("ascii"))


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        BadFile: it is missing, a folder, not UTF-8, not JSON, or holds NaN or infinity.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON number")

    try:
        return json.loads(Path(path).read_bytes(), parse_constant=refuse)
    except OSError as error:
        explain_reading(error, Path(path))
    except ValueError as error:  # of which JSONDecodeError and UnicodeDecodeError are kinds
        raise BadFile(
            f"{path} is not JSON ({error}); write it again, or name another file"
        ) from error


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises BadFile if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        explain_reading(error, Path(path))


def sweep(folder: Path, older_than: float = 86400.0) -> None:
    """Remove temporary files that a killed process left in `folder`, `older_than` seconds old.

    The age keeps the files of processes that are still writing.
    """
    for path in folder.glob(f".*{_TEMPORARY}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()


def explain(error: OSError, path: Path) -> NoReturn:
    """Raise what an `OSError` met in writing `path` means to a user."""
    if error.errno in _FULL:
        raise ResourceError(
            f"no room to write {path}: {_free(path)}; free some space, or choose another place "
            "with --out"
        ) from error
    if error.errno in _FORBIDDEN:
        raise ResourceError(
            f"not allowed to write {path} ({error.strerror}); change the folder's permissions, or "
            "choose another place with --out"
        ) from error
    if error.errno in {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}:
        raise BadFile(
            f"expected a path that a file can be written to, got {path} ({error.strerror}); "
            "choose another with --out"
        ) from error
    raise ResourceError(
        f"could not write {path} ({error}); try another place with --out"
    ) from error


def explain_reading(error: OSError, path: Path) -> NoReturn:
    """Raise what an `OSError` met in reading `path` means to a user."""
    if isinstance(error, FileNotFoundError):
        raise BadFile(f"expected a file at {path}, found none; check the path") from error
    if isinstance(error, IsADirectoryError):
        raise BadFile(f"expected a file at {path}, found a folder; name a file in it") from error
    raise BadFile(f"could not read {path} ({error.strerror}); check its permissions") from error


def _free(path: Path) -> str:
    for folder in path.parents:
        with contextlib.suppress(OSError):
            return f"{shutil.disk_usage(folder).free / 1e6:,.0f} MB are free, or a quota is used up"
    return "the disk is full"


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    # Makes the new name survive a power cut; not every system lets a folder be opened.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
