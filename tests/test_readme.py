"""The README's Python is run as it stands, on the tiny model and at small sizes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.suite import two
from tests.suite.checks.test_staged import SMALL

import excise
from excise.api.judging import Judges
from excise.erasers.task_vector import TaskVector
from excise.suite.sizes import SIZES

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model in the place of the embedded one, its judge, and everything once."""
    judges = Judges(first=two.Two(), others=(two.AUDITOR,))
    method = TaskVector(**{**TaskVector.smallest, "variant": "paper", "steps": 4})  # type: ignore[arg-type]
    monkeypatch.setattr(excise, "load", lambda name: two.model(), raising=False)
    monkeypatch.setattr("excise.api.erasing.eraser_of", lambda *_: method)
    monkeypatch.setattr("excise.api.cases.judges_for", lambda *_: judges)
    sizes = replace(SMALL, attacks=("reseed",), kept=2, others=2, asked=4)
    monkeypatch.setitem(SIZES, "standard", sizes)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.skipif(not README.exists(), reason="the README is not in a built package")
def test_what_the_readme_says_in_python_runs_and_keeps_the_record(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), flags=re.M | re.S)
    names: dict[str, Any] = {}
    exec(compile(text, str(README), "exec"), names)
    assert {one.name for one in tmp_path.iterdir()} == {
        "no-cat.safetensors", "no-cat.record", "out",
    }  # fmt: skip
    assert {"report.html", "report.json"} <= {one.name for one in (tmp_path / "out").iterdir()}
    record = json.loads((tmp_path / "no-cat.record" / "record.json").read_text("utf-8"))
    assert record["pictures"]
    for source in (names["edit"], excise.Edit.load("no-cat.safetensors")):
        assert excise.api.loading.history_of(source).hashes
    checks = {check.name for check in names["report"].record.checks}
    assert "no_record" not in checks
    assert len(names["pictures"].pictures) == 1
