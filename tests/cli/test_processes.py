from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


def excise_(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "excise", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, **more,
    )  # fmt: skip


NOISE = """
import sys
sys.argv = ["excise", "info", "x"]
import excise.api
def info(path):
    import ctypes, logging, os, sys, warnings
    print("python to stdout"); sys.stderr.write("python to stderr\\n")
    os.write(1, b"descriptor 1\\n"); os.write(2, b"descriptor 2\\n")
    ctypes.CDLL(None).puts(b"C to stdout")
    warnings.warn("a warning"); logging.warning("a log line")
    return {"found": "it"}
excise.api.info = info
from excise.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="asks the C library of a POSIX system")
def test_other_libraries_are_not_heard() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOISE], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["found", "it"]
    assert done.stderr == ""
    debug = {**os.environ, "EXCISE_DEBUG": "1"}
    loud = subprocess.run(
        [sys.executable, "-c", NOISE], capture_output=True, text=True, timeout=120, env=debug
    )
    assert "C to stdout" in loud.stdout
    assert "a warning" in loud.stderr


ON_A_TERMINAL = """
import sys
sys.argv = ["excise", "erase", "cat", "--model", "x", "--out", "none.safetensors"]
import excise.api, excise.cli.making
from excise.errors import Infeasible
def erase(*_, progress, **__):
    progress.start("fine-tune", 10)
    progress.advance(5); import time; time.sleep(0.5)
    print("python to stdout"); sys.stderr.write("python to stderr\\n")
    progress.note("a choice was made")
    progress.end()
    raise Infeasible("no strength does it")
excise.api.erase = erase
excise.cli.making.load_model = lambda *_: None
excise.cli.making.concepts_of = lambda *_: ["cat"]
from excise.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_bars_on_a_terminal_and_nothing_else() -> None:
    import pty

    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"}, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert started.wait(60) == 3
    text = shown.decode()
    assert "fine-tune" in text
    assert "5/10" in text
    assert "a choice was made" in text
    assert "no strength does it" in text
    assert "python to" not in text


def test_a_reader_that_leaves_early_is_no_error() -> None:
    line = f"{sys.executable} -m excise list erasers | head -c 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""


@pytest.mark.slow
def test_a_run_of_its_own_is_clean(folder: Path, tmp_path: Path) -> None:
    done = excise_("generate", "a cat", "--model", folder, "--out", tmp_path / "x.png",
                   "--steps", "2", "--threads", "1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1 pictures: {tmp_path / 'x.png'}\n"
    assert done.stderr == ""


STOP = """
import sys, time
sys.argv = ["excise", "info", "x"]
import excise.api
def info(path):
    import os; os.write(int(os.environ["READY"]), b"1")
    time.sleep(60)
excise.api.info = info
from excise.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_is_one_line() -> None:
    read, write = os.pipe()
    started = subprocess.Popen(
        [sys.executable, "-c", STOP], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        pass_fds=[write], env={**os.environ, "READY": str(write)},
    )  # fmt: skip
    os.close(write)
    assert os.read(read, 1) == b"1"
    os.close(read)
    begun = time.monotonic()
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert time.monotonic() - begun < 20
    assert started.returncode == 130
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("Stopped.")
