from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from excise.store import Cache
from excise.store.cache import default_root


def test_what_was_put_is_got(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.get({"model": "a"}) is None
    assert cache.put({"model": "a"}, {"x": torch.arange(3)}, {"rate": 0.5})
    kept = cache.get({"model": "a"})
    assert kept is not None
    assert kept.record == {"rate": 0.5}
    assert torch.equal(kept.tensors["x"], torch.arange(3))
    assert cache.get({"model": "b"}) is None


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    assert not cache.put(1, {})
    assert cache.get(1) is None


def test_the_default_place_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXCISE_CACHE", str(tmp_path / "here"))
    assert default_root() == tmp_path / "here"
    monkeypatch.delenv("EXCISE_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "excise"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == Path.home() / ".cache" / "excise"


# Four writers at once, on the same keys, are killed at any moment; a reader looks on. torch is
# imported once, in the parent, and the writers are forked from it.
STORM = """
import os, random, signal, sys, time, torch
from excise.store import Cache
cache, rounds = Cache(sys.argv[1]), int(sys.argv[2])
chance = random.Random(0)
reads = 0
for _ in range(rounds):
    writers = []
    for me in range(4):
        pid = os.fork()
        if not pid:
            while True:
                for key in range(3):
                    cache.put(key, {"x": torch.full((50_000,), float(key))}, key)
        writers.append(pid)
    end = time.monotonic() + chance.uniform(0.01, 0.15)
    while time.monotonic() < end:
        for key in range(3):
            kept = cache.get(key)
            if kept is not None:
                assert kept.record == key and bool((kept.tensors["x"] == key).all()), key
                reads += 1
    for pid in writers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for path in cache.root.rglob("*.safetensors"):
        if not path.name.startswith("."):
            assert path.stat().st_size > 200_000, path
print(reads)
"""


def storm(root: Path, rounds: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", STORM, str(root), str(rounds)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_killed_writers_leave_nothing_half_written(tmp_path: Path) -> None:
    assert storm(tmp_path, 8) > 0


@pytest.mark.slow
def test_many_killed_writers_leave_nothing_half_written(tmp_path: Path) -> None:
    assert storm(tmp_path, 40) > 40
