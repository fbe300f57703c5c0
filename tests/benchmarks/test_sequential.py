from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sequential
import torch
from sequential import LIMIT, MOST, NEAR, Cell, Cells, chosen, page, row
from tests.benchmarks.tiny_study import Tiny, model

from excise.edit import Edit, Recipe
from excise.types import Prompt

CELL = Cell("cat", 0.5, Prompt("a cat"))


def test_a_third_of_the_cells_lie_near_the_limit() -> None:
    rates = torch.cat([torch.zeros(40), torch.linspace(0.06, 0.14, 40), torch.full((40,), 0.5)])
    looks = torch.rand(120, 400, generator=torch.Generator().manual_seed(0)) < rates[:, None]
    picked = chosen([CELL] * 120, looks)
    near = [i for i in picked if abs(float(looks[i].float().mean()) - LIMIT) <= NEAR]
    assert len(picked) == len(set(picked)) >= 40
    assert len(near) >= len(picked) / 3


def test_rows_say_both_decisions() -> None:
    none = row(CELL, torch.zeros(MOST, dtype=torch.bool))
    assert (none["fixed"], none["sequential"], none["sure"]) == ("below", "below", True)
    assert none["pictures"] < MOST
    at = row(CELL, torch.arange(MOST) % 10 == 0)
    assert (at["hits"], at["sequential"], at["sure"]) == (40, None, False)
    text = page([none, at])
    assert "2 of 2" in text
    assert "not decided after 400 pictures: 1" in text


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
