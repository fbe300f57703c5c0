"""What ``pip install .`` puts somewhere works there, without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

CHECK = """
import sys
from pathlib import Path
import excise
place = Path(excise.__file__).parent
assert place.parent == Path(sys.argv[1]), place
model = excise.load("emoji")
assert model.generate("a cat").pictures.shape == (1, 3, 64, 64)
assert excise.load("emoji/without-cat").known
assert (place / "py.typed").exists()
"""


@pytest.mark.slow
def test_an_installed_package_draws_with_what_it_ships(tmp_path: Path) -> None:
    there = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(there)]
    subprocess.run([*pip, str(ROOT)], check=True, timeout=600)
    env = {**os.environ, "PYTHONPATH": str(there)}
    for call in (["-c", CHECK, str(there)], ["-m", "excise", "list", "concepts"]):
        done = subprocess.run(
            [sys.executable, *call], cwd=tmp_path, env=env, capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "cat" in done.stdout
