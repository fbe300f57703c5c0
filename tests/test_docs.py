from __future__ import annotations

import re
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest
from tests import tiny

from excise import registry
from excise.erasers.uce import UCE
from excise.judges.nudenet import COUNTED, EXPOSED, NudeNet
from excise.judges.zero_shot_clip import ZeroShotClip
from excise.models.load import of_pipeline
from excise.primitives.denoising import Weighting
from excise.primitives.readers import CHOSEN, States
from excise.primitives.swaps import RETAINED, Retain
from excise.settings import describe

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


ERASERS = registry.names("eraser")


@pytest.mark.skipif(not MAKE.exists(), reason="the docs are not in a built package")
def test_what_is_left_to_a_method_is_said() -> None:
    made = runpy.run_path(str(MAKE))
    for name in ERASERS:
        cls = registry.get("eraser", name)
        left = {one.name for one in describe(cls) if one.default == "None"}
        assert set(made["unset"](cls)) == left, name


@pytest.mark.skipif(not MAKE.exists(), reason="the docs are not in a built package")
def test_choices_are_those_that_there_are() -> None:
    made = runpy.run_path(str(MAKE))
    assert set(CHOSEN) == set(get_args(States))
    assert set(RETAINED) == set(get_args(Retain))
    assert set(made["WEIGHTINGS"]) == set(get_args(Weighting))
    model: Any = of_pipeline(tiny.stable_diffusion(), "tiny")
    found = {name: len(model.parameters(name)) for name in made["SELECTORS"]}
    assert min(found.values()) > 0
    assert found["cross_attention"] + found["not_cross_attention"] == found["denoiser"]
    models: list[Any] = [of_pipeline(make(), name) for name, make in tiny.FAMILIES.items()]
    kinds = {one.kind for each in models for one in each.text_projections()}
    assert set(made["KINDS_OF_WEIGHTS"]) == kinds


@dataclass(frozen=True, kw_only=True)
class Timid(UCE):
    """Settings that models and budgets change."""

    scaled: ClassVar[tuple[str, ...]] = ("steps",)
    budgeted: ClassVar[Any] = {"quick": {"heal": 2}}
    measured: ClassVar[Any] = {"emoji": {"heal": 9, "steps": 40}, "emoji/style": {"ridge": 0.1}}
    steps: int = 20
    heal: int = 2


@pytest.mark.skipif(not MAKE.exists(), reason="the docs are not in a built package")
def test_budgets_are_of_what_a_model_gets() -> None:
    made = runpy.run_path(str(MAKE))
    rows = [line.strip("| ").split(" | ") for line in made["settings_table"](Timid)]
    columns, *rest = rows
    assert columns[3:] == ["emoji", "emoji/style", "quick", "thorough"]
    cells = {row[0].strip("`"): [one.strip(" |") for one in row[3:]] for row in rest}
    # Of emoji alone, and not said again for its styles.
    assert cells["heal"][0] == "`9`"
    assert "emoji: `2`" in cells["heal"][-1]
    assert "`5`; emoji: `10`" in " | ".join(cells["steps"])
    assert "`40`; emoji: `80`" in " | ".join(cells["steps"])
    assert "emoji/style:" not in str(cells)


TYPES = {"int", "float", "str", "bool", "None", "True", "False"}
SYMBOLS = {"standard", "emoji", "emoji/style", "task_vector", "sdxl", "sd3", "concept.toml"}


@pytest.mark.skipif(not MAKE.exists(), reason="the docs are not in a built package")
def test_whoever_has_only_the_page_can_read_it() -> None:
    """It names settings, their choices and methods, and nothing that stands in the code alone."""
    made = runpy.run_path(str(MAKE))
    text, _, sections = made["erasers"]().partition("## ablating")
    common = set(re.findall(r"`([^`]+)`", text)) - {"emoji"} | SYMBOLS | TYPES
    for part in re.split(r"^## ", "ablating" + sections, flags=re.M):
        cls = registry.get("eraser", part.split("\n")[0])
        settings = {one.name for one in describe(cls)}
        choices = {c for one in describe(cls) for c in re.findall(r"'(\w+)'", one.type)}
        said = set(re.findall(r"`([A-Za-z_][\w./]*)`", part))
        assert said <= common | settings | choices, (cls.name, said - common - settings - choices)


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
