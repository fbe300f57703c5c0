"""Where a file or a folder is written before it takes its name, and what a kill leaves of that.

Everything temporary lies in a hidden folder beside the goal: ``.NAME.MACHINE-PID-X.excise-tmp``. In
a folder, because a library that is told to write a file may first write another one next to it.
The name says whose it is, so that the next run can tell what nobody will finish.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from functools import cache
from pathlib import Path

SUFFIX = ".excise-tmp"
DAY = 86400.0
LENGTH = 40  # letters of the goal's name; a system's limit is for bytes, of which there may be more
_OWNER = re.compile(r"\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]+" + re.escape(SUFFIX))


def beside(goal: Path) -> Path:
    """A new name for a temporary folder beside `goal`."""
    owner = f"{_machine()}-{os.getpid()}-{secrets.token_hex(6)}"
    return goal.with_name(f".{goal.name[:LENGTH]}.{owner}{SUFFIX}")


def sweep(folder: Path, name: str = "", older_than: float = DAY) -> None:
    """Remove what a killed process left in `folder`, of the goal `name` or of all.

    That is what belongs to a process of this machine that has ended, and what has not been touched
    for `older_than` seconds: another machine may be writing to a shared folder.
    """
    start = f".{glob.escape(name[:LENGTH])}." if name else "."
    for path in folder.glob(f"{start}*{SUFFIX}"):
        with contextlib.suppress(OSError):
            if _left(path.name) or time.time() - path.stat().st_mtime > older_than:
                remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, or as much of it as the system lets go."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _left(name: str) -> bool:
    """Does it belong to a process of this machine that is there no more?"""
    found = _OWNER.search(name)
    if found is None or found["machine"] != _machine() or sys.platform == "win32":
        return False  # on Windows the question itself would end the process that is asked about
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


@cache
def _machine() -> str:
    """Tells apart machines, and containers, whose numbers for processes are their own."""
    space = ""
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]
