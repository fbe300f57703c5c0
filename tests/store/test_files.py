from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from excise.errors import BadFile, ResourceError
from excise.store import (
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

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def entries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@given(json_values)
def test_json_comes_back_and_has_one_text(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    first = (tmp_path / "a.json").read_bytes()
    write_json(tmp_path / "a.json", json.loads(canonical(value)))
    assert (tmp_path / "a.json").read_bytes() == first


def test_canonical_text_does_not_depend_on_order() -> None:
    assert canonical({"b": [1, 2.5], "a": "ü"}) == '{"a":"\\u00fc","b":[1,2.5]}'
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": "1"})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(float("nan"))


def test_folders_are_made_and_nothing_is_left_beside(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "deep" / "a.txt", "line\n")
    assert (tmp_path / "new" / "deep" / "a.txt").read_bytes() == b"line\n"
    assert entries(tmp_path / "new" / "deep") == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(error), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("half of the n")
        raise error
    assert (tmp_path / "a.txt").read_text() == "old"
    assert entries(tmp_path) == ["a.txt"]


def test_a_full_disk_is_explained_and_leaves_the_old_file(
    tmp_path: Path, tiny_disk: Callable[[], AbstractContextManager[int]]
) -> None:
    write_text(tmp_path / "a.txt", "old")
    with (
        tiny_disk() as size,
        pytest.raises(ResourceError, match="no room to write .* free some space"),
    ):
        write_bytes(tmp_path / "a.txt", b"x" * (size + 1))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert entries(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_forbidden_folder_is_explained(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceError, match="not allowed to write .* permissions"):
        write_text(tmp_path / "a.txt", "new")
    tmp_path.chmod(0o700)


def test_refusals_of_the_system_keep_their_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root is refused nothing, so the system's answer is put in its mouth.
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ResourceError, match="not allowed to write"):
        write_text(tmp_path / "a.txt", "new")
    assert entries(tmp_path) == []


def test_a_path_that_cannot_be_a_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="directory"):
        write_text(tmp_path, "new")
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(BadFile):
        write_text(tmp_path / "a.txt" / "b.txt", "new")
    assert entries(tmp_path) == ["a.txt"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    write_text(tmp_path / "real.txt", "old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        (tmp_path / "plain").write_text("")
        write_text(tmp_path / "a.txt", "")
        with atomic(tmp_path / "b.txt") as temporary:
            temporary.write_text("of a library that is careful")
            temporary.chmod(0o600)
        with atomic_folder(tmp_path / "c") as folder:
            (folder / "d").mkdir()
            (folder / "d" / "e.txt").write_text("")
            (folder / "d" / "e.txt").chmod(0o600)
    finally:
        os.umask(old)
    for made in ("a.txt", "b.txt", "c/d/e.txt"):
        assert (tmp_path / made).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "new" / "a") as folder:
        (folder / "half").write_text("")
        raise KeyboardInterrupt
    assert entries(tmp_path / "new") == []
    for _ in range(2):  # a new one, then an empty one
        with atomic_folder(tmp_path / "new" / "a") as folder:
            pass
    with atomic_folder(tmp_path / "new" / "a") as folder:
        (folder / "whole").write_text("")
    assert entries(tmp_path / "new") == ["a"]
    with pytest.raises(BadFile, match="new or empty"), atomic_folder(tmp_path / "new" / "a"):
        pass
    assert entries(tmp_path / "new" / "a") == ["whole"]


def test_what_cannot_be_written_is_known_before_it_is_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    check_writable(tmp_path / "a.txt")
    check_writable(tmp_path / "new" / "deep" / "a.txt")
    (tmp_path / "folder").mkdir()
    bad = [tmp_path / "folder", tmp_path / "a.txt" / "b.txt", tmp_path / ("x" * 300)]
    if Path("/proc/self").exists():  # where not even root may
        bad += [Path("/proc/self/a.txt"), Path("/proc/self/new/a.txt")]
    for path in bad:
        with pytest.raises(BadFile, match="--out"):
            check_writable(path)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert entries(tmp_path) == ["a.txt", "folder"]
    assert entries(tmp_path / "folder") == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[NaN]", b"[1e400, Infinity]"])
def test_what_is_not_json_is_refused(tmp_path: Path, data: bytes) -> None:
    write_bytes(tmp_path / "a.json", data)
    with pytest.raises(BadFile, match="is not JSON"):
        read_json(tmp_path / "a.json")


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="found none"):
        read_json(tmp_path / "none.json")
    with pytest.raises(BadFile, match="found a folder"):
        sha256_file(tmp_path)


def test_sha256_is_the_known_one(tmp_path: Path) -> None:
    write_bytes(tmp_path / "abc", b"abc")
    assert sha256_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")
