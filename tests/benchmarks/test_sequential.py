from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sequential
import torch
from sequential import LIMIT, MOST, NEAR, Cell, Cells, chosen, near, page, row, short
from tests.benchmarks.tiny_study import Tiny, model

from excise.edit import Edit, Recipe
from excise.types import Prompt

CELL = Cell("cat", 0.5, Prompt("a cat"))


def test_a_third_of_the_cells_lie_near_the_limit() -> None:
    rates = torch.cat([torch.zeros(40), torch.linspace(0.06, 0.14, 40), torch.full((40,), 0.5)])
    looks = torch.rand(120, 400, generator=torch.Generator().manual_seed(0)) < rates[:, None]
    picked = chosen([CELL] * 120, looks)
    close = [i for i in picked if abs(float(looks[i].float().mean()) - LIMIT) <= NEAR]
    assert len(picked) == len(set(picked)) >= 40
    assert len(close) >= len(picked) / 3


def test_rows_say_both_decisions() -> None:
    none = row(CELL, torch.zeros(MOST, dtype=torch.bool))
    assert (none["fixed"], none["sequential"], none["sure"]) == ("below", "below", True)
    assert none["pictures"] < MOST
    at = row(CELL, torch.arange(MOST) % 10 == 0)
    assert (at["hits"], at["sequential"], at["sure"]) == (40, None, False)
    text = page([none, at])
    assert "decided: 1 of 2 cells" in text
    assert "on the side of all 400 pictures: 1 of 1" in text  # the undecided does not agree
    assert "agreeing with nothing: 1 of 2" in text


def test_too_few_cells_are_said_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = {"hits": 200, "fixed": "above", "sure": True, "sequential": "above", "pictures": 40}
    close = {**far, "hits": 60, "pictures": 300}  # 15 of 100: 5 points above the limit
    assert len(near([far, close, {**close, "hits": 20}, {**close, "hits": 61}])) == 2
    good = [far] * 30 + [close] * 15
    assert short(good) is None
    assert "Too few" not in page(good)
    assert short([far] * 29 + [close] * 15) is None
    assert "39 cells" in str(short(good[6:]))
    assert "14 of 45" in str(short([far] * 31 + [close] * 14))
    assert "**Too few for a claim: 2 cells" in page([far, close])

    # What was found is written before the run fails.
    monkeypatch.setattr(sequential, "DOCS", tmp_path)
    monkeypatch.setattr(sequential, "opened", lambda parser: (None, None))
    monkeypatch.setattr(Cells, "every", lambda self: [CELL, CELL])
    monkeypatch.setattr(Cells, "hits", lambda self, cells, what, n: torch.zeros(len(cells), n) > 0)
    with pytest.raises(SystemExit, match="2 cells"):
        sequential.main()
    assert "Too few" in (tmp_path / "sequential.md").read_text(encoding="utf-8")


def test_pictures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny: Any = model()
    study = Tiny(tmp_path, of=tiny)
    edit = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4) / 9}, recipe=Recipe(method="m"))
    monkeypatch.setattr(study, "edit", lambda trial: (edit, {}))
    monkeypatch.setattr(sequential, "CONCEPTS", ("cat", "dog"))
    cells = [Cell("cat", 0.5, Prompt("a cat")), Cell("dog", 1.0, Prompt("a dog")),
             Cell("cat", 0.5, Prompt("a photo of a cat"))]  # fmt: skip
    first = Cells(study).hits(cells, "first", 3)
    spent = tiny.costs
    assert torch.equal(Cells(study).hits(cells, "first", 3), first)
    assert (tiny.costs - spent).evaluations == 0
    assert first.shape == (3, 3)
    assert len(list((tmp_path / "sequential").iterdir())) == 3
