from __future__ import annotations

from pathlib import Path

import pytest
import torch

from excise.errors import BadFile
from excise.store import Archive, Cache
from excise.store.archive import pack

KEY = {"model": "a", "budget": 3}


@pytest.fixture
def kept(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    assert cache.put(KEY, {"x": torch.arange(3)}, {"rate": 0.5})
    assert cache.put("other", {}, None)
    return cache


def test_what_a_cache_held_is_got(kept: Cache, tmp_path: Path) -> None:
    file = tmp_path / "results.zip"
    pack(file, [kept.path(KEY)])
    found = Archive(file).get(KEY)
    assert found is not None
    assert found.record == {"rate": 0.5}
    assert torch.equal(found.tensors["x"], torch.arange(3))
    assert Archive(file).get("other") is None


def test_the_same_entries_give_the_same_bytes(kept: Cache, tmp_path: Path) -> None:
    both = [kept.path(KEY), kept.path("other")]
    pack(tmp_path / "a.zip", both)
    pack(tmp_path / "b.zip", reversed(both))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_an_entry_under_another_key_is_not_taken_for_it(kept: Cache, tmp_path: Path) -> None:
    strange = tmp_path / kept.path(KEY).parent.name / kept.path(KEY).name
    strange.parent.mkdir()
    strange.write_bytes(kept.path("other").read_bytes())
    pack(tmp_path / "results.zip", [strange])
    assert Archive(tmp_path / "results.zip").get(KEY) is None


@pytest.mark.parametrize("keep", [0, 40, -30])
def test_what_is_damaged_counts_as_absent(kept: Cache, tmp_path: Path, keep: int) -> None:
    file = tmp_path / "results.zip"
    assert Archive(file).get(KEY) is None
    pack(file, [kept.path(KEY)])
    file.write_bytes(file.read_bytes()[:keep])
    assert Archive(file).get(KEY) is None


def test_a_damaged_member_counts_as_absent(kept: Cache, tmp_path: Path) -> None:
    path = kept.path(KEY)
    path.write_bytes(path.read_bytes()[:-4])
    pack(tmp_path / "results.zip", [path])
    assert Archive(tmp_path / "results.zip").get(KEY) is None


def test_a_missing_entry_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="found none"):
        pack(tmp_path / "results.zip", [tmp_path / "none.safetensors"])
    assert not (tmp_path / "results.zip").exists()
