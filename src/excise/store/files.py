"""Atomic writes, canonical JSON, and what the machine's refusals mean."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from excise.errors import BadFile, ResourceError
from excise.store.temporary import beside, remove, sweep

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` when the block ends well.

    Missing folders are made. After any exception, a KeyboardInterrupt too, `path` is as it was and
    the temporary file is gone; after SIGKILL a hidden folder may stay (see `temporary`), which no
    reader looks at and which the next write of the same path removes. The file has the permissions
    of an ordinary new one.

    Raises:
        ResourceError: the disk is full, or the folder cannot be written to.
        BadFile: `path` is a folder, or lies below something that is a file.
    """
    goal = Path(os.path.realpath(path))  # a link stays a link: its target is replaced
    with _beside(goal, Path(path)) as folder:
        if goal.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        made = folder / goal.name
        yield made
        _ordinary(folder)
        _flush(made)
        os.replace(made, goal)  # noqa: PTH105  (the atomic call, by its well-known name)
        _flush_folder(goal.parent)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """As `atomic`, for a whole folder, which must be new or empty.

    Raises:
        BadFile: there is something at `path`. ResourceError: as `atomic`.
    """
    goal = Path(os.path.realpath(path))
    with _beside(goal, Path(path)) as folder:
        if goal.exists() and (not goal.is_dir() or any(goal.iterdir())):
            raise BadFile(f"expected a new or empty folder to write to, got {path}; name another")
        made = folder / goal.name
        made.mkdir()
        yield made
        _ordinary(made)
        os.replace(made, goal)  # noqa: PTH105
        _flush_folder(goal.parent)


def check_writable(path: Path | str) -> None:
    """Find out now, and not after an hour of work, whether a file can be written at `path`.

    Nothing is made. Raises BadFile if not, whatever the reason: another place has to be named.
    """
    goal = Path(os.path.realpath(path))
    try:
        if goal.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        there = next(folder for folder in goal.parents if folder.exists())
        trial = beside(there / goal.name)
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise BadFile(
            f"expected a path that can be written to, got {path} ({error.strerror}); choose "
            "another with --out"
        ) from error


@contextmanager
def _beside(goal: Path, said: Path) -> Iterator[Path]:
    """A temporary folder beside `goal`, which the user calls `said`; the system's refusals told."""
    folder = beside(goal)
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        sweep(goal.parent, goal.name)
        folder.mkdir()
        yield folder
    except OSError as error:
        explain(error, said)
    finally:
        remove(folder)


def _ordinary(folder: Path) -> None:
    """Give all files in a folder of ours the permissions of ordinary new ones.

    Some libraries write files that only their owner may read. What the user wants of new files is
    seen in the folder, which the system made so.
    """
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)


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
    if error.errno in {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG}:
        raise BadFile(
            f"expected a path that a file can be written to, got {path} ({error.strerror}); "
            "choose another with --out"
        ) from error
    raise ResourceError(
        f"could not write {path} ({error.strerror or error}); try another place with --out"
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
