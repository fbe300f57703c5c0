"""What runs before a change goes in fails where a browser could be there and is not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / ".ci" / "run"
NEEDED = ("bash", "dirname", "env")
TEST = "make test\n"

pytestmark = pytest.mark.skipif(not RUN.exists(), reason="what CI runs is not in a built package")


def stub(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(f'#!{shutil.which("bash")}\necho {name} "$@" >>{folder}/log\n{text}\n')
    file.chmod(0o755)


def run(folder: Path, user: int = 0, apt: str | None = "exit 1") -> tuple[int, str, str]:
    """With programs of its own only; exit code, what was called, and what was said."""
    for name in NEEDED:
        (folder / name).symlink_to(str(shutil.which(name)))
    stub(folder, "make", "")
    stub(folder, "sleep", "")
    stub(folder, "id", f"echo {user}")
    if apt is not None:
        stub(folder, "apt-get", apt)
    done = subprocess.run(
        [str(folder / "bash"), str(RUN)], env={"PATH": str(folder)}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, (folder / "log").read_text(), done.stderr


def test_without_a_browser_that_could_be_installed_it_fails_after_a_second_try(
    tmp_path: Path,
) -> None:
    code, called, said = run(tmp_path)
    assert code == 1
    assert called.count("apt-get update") == 2
    assert "sleep" in called
    assert TEST not in called
    assert "no chromium" in said


def test_a_hiccup_is_forgiven(tmp_path: Path) -> None:
    chromium = f"{tmp_path}/chromium"
    made = f": >{chromium}; {shutil.which('chmod')} +x {chromium}"
    first = f"[ -e {tmp_path}/tried ] || {{ : >{tmp_path}/tried; exit 1; }}\n"
    code, called, said = run(tmp_path, apt=f'{first}[ "$1" != install ] || {{ {made}; }}')
    assert (code, said) == (0, "")
    assert called.count("apt-get install") == 1
    assert TEST in called


def test_what_says_it_was_installed_and_is_not_there_is_no_browser(tmp_path: Path) -> None:
    code, _, said = run(tmp_path, apt="exit 0")
    assert code == 1
    assert "no chromium" in said


@pytest.mark.parametrize(("user", "apt"), [(1000, "exit 1"), (0, None)])
def test_where_none_can_be_installed_tests_are_skipped_and_not_failed(
    tmp_path: Path, user: int, apt: str | None
) -> None:
    code, called, _ = run(tmp_path, user, apt)
    assert code == 0
    assert "apt-get" not in called
    assert TEST in called
