from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from excise.store import Stages, sweep, write_text
from excise.store.temporary import beside


def entries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# Writes a half of what it means to, as the libraries do: a file beside the file, and then waits.
HALF = """
import sys, time
from pathlib import Path
from excise.store import atomic
with atomic(sys.argv[1]) as temporary:
    temporary.with_name(".tmpXYZ").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


def killed(path: Path) -> None:
    """Leave what a process leaves that is killed while it writes `path`."""
    process = subprocess.Popen([sys.executable, "-c", HALF, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_what_a_killed_process_left_is_taken_away(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    killed(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(entries(tmp_path)) == 2
    write_text(tmp_path / "b.txt", "new")  # another file's leftovers are not its business
    assert len(entries(tmp_path)) == 3
    write_text(tmp_path / "a.txt", "new")
    assert entries(tmp_path) == ["a.txt", "b.txt"]
    killed(tmp_path / "stages" / "a.safetensors")
    assert len(entries(tmp_path / "stages")) == 1
    Stages(tmp_path / "stages")
    assert entries(tmp_path / "stages") == []


def test_what_is_being_written_or_may_be_stays(tmp_path: Path) -> None:
    ours, theirs = beside(tmp_path / "a.txt"), ".b.txt.00000000-99999999-ab.excise-tmp"
    ours.mkdir()
    (tmp_path / theirs).mkdir()  # of another machine, whose processes cannot be seen
    names = entries(tmp_path)
    sweep(tmp_path)
    assert entries(tmp_path) == names
    for name in names:
        os.utime(tmp_path / name, (time.time() - 1e6,) * 2)
    sweep(tmp_path, "a.txt")
    assert entries(tmp_path) == [theirs]
    sweep(tmp_path)
    assert entries(tmp_path) == []


def test_sweep_takes_nothing_else(tmp_path: Path) -> None:
    for name, age in ((".a.1.excise-tmp", 1e6), (".b.2.excise-tmp", 1), (".other", 1e6)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    sweep(tmp_path)
    assert entries(tmp_path) == [".b.2.excise-tmp", ".other"]
    sweep(tmp_path / "no such folder")


def test_any_name_that_a_file_can_have_will_do(tmp_path: Path) -> None:
    for name in ("x" * 250, "\N{CAT FACE}" * 60, "[a]*?.txt", ".hidden"):
        write_text(tmp_path / name, "whole")
        write_text(tmp_path / name, "again")
    assert len(entries(tmp_path)) == 4
