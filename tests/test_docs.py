from __future__ import annotations

import runpy
from pathlib import Path

import pytest

MAKE = Path(__file__).parents[1] / "docs" / "make.py"


@pytest.mark.skipif(not MAKE.exists(), reason="the docs are not in a built package")
def test_pages_say_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    made = runpy.run_path(str(MAKE))
    assert made["main"](check=True) == 0, capsys.readouterr().out
