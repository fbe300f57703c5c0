from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from excise.judges.nudenet import COUNTED, EXPOSED, NudeNet
from excise.judges.zero_shot_clip import ZeroShotClip

DOCS = Path(__file__).parents[1] / "docs"
MAKE, JUDGES = DOCS / "make.py", DOCS / "real-models.md"


@pytest.mark.skipif(not MAKE.exists(), reason="the docs are not in a built package")
def test_pages_say_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    made = runpy.run_path(str(MAKE))
    assert made["main"](check=True) == 0, capsys.readouterr().out


@pytest.mark.skipif(not MAKE.exists(), reason="the docs are not in a built package")
def test_a_minus_is_no_item_of_a_list() -> None:
    made = runpy.run_path(str(MAKE))
    text = "- ``a``: x - y,\n  z\n  - 1.\n- ``b``: no more"
    assert made["bullets"](text) == "- `a`: x - y, z - 1.\n- `b`: no more"


@pytest.mark.skipif(not JUDGES.exists(), reason="the docs are not in a built package")
def test_judges_for_real_models_are_as_the_page_says() -> None:
    page = JUDGES.read_text(encoding="utf-8")
    found = []
    for text in re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S):
        names: dict[str, Any] = {}
        exec(compile(text, str(JUDGES), "exec"), names)
        found.append(names["judge"])
    assert [type(judge) for judge in found] == [ZeroShotClip, NudeNet]
    assert (len(found[1].counted), found[1].threshold) == (9, 0.45)
    assert f"{len(COUNTED)} of the {len(EXPOSED)} EXPOSED" in page
    for name in EXPOSED:
        assert name.removesuffix("_EXPOSED").split("_")[-1].lower() in page
    assert f"| {NudeNet().threshold:g} |" in page
    assert "MIT" in page
    assert "AGPL" in page
