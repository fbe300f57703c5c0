from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sequential
import torch
from sequential import (
    LIMIT,
    MOST,
    NEAR,
    TESTS,
    Cell,
    Cells,
    amiss,
    chosen,
    decided,
    near,
    page,
    row,
    short,
)
from tests.benchmarks.tiny_study import Tiny, model

from excise import registry
from excise.edit import Edit, Recipe
from excise.suite import SIZES
from excise.types import Prompt

CELL = Cell("cat", 0.5, Prompt("a cat"))
ALONE, SUITE = TESTS


def told(fixed: str, alone: str | None, suite: str | None = None, hits: int = 200) -> Any:
    """A cell with what all pictures and both tests say."""
    said = {ALONE: (alone, 40), SUITE: (suite, 80)}
    tests = {name: {"side": side, "pictures": n} for name, (side, n) in said.items()}
    return {"hits": hits, "fixed": fixed, "sure": True, "tests": tests}


def test_a_third_of_the_cells_lie_near_the_limit() -> None:
    rates = torch.cat([torch.zeros(40), torch.linspace(0.06, 0.14, 40), torch.full((40,), 0.5)])
    looks = torch.rand(120, 400, generator=torch.Generator().manual_seed(0)) < rates[:, None]
    picked = chosen([CELL] * 120, looks)
    close = [i for i in picked if abs(float(looks[i].float().mean()) - LIMIT) <= NEAR]
    assert len(picked) == len(set(picked)) >= 40
    assert len(close) >= len(picked) / 3


def test_rows_say_every_decision() -> None:
    none = row(CELL, torch.zeros(MOST, dtype=torch.bool))
    assert (none["fixed"], none["sure"]) == ("below", True)
    assert [one["side"] for one in none["tests"].values()] == ["below", "below"]
    # Who shares the error among many claims needs more pictures.
    assert none["tests"][ALONE]["pictures"] < none["tests"][SUITE]["pictures"] < MOST
    at = row(CELL, torch.arange(MOST) % 10 == 0)
    assert (at["hits"], at["sure"]) == (40, False)
    assert [one["side"] for one in at["tests"].values()] == [None, None]
    assert [one["pictures"] for one in at["tests"].values()] == [most for _, most in TESTS.values()]
    text = page([none, at])
    assert "| one claim | 1 | 400 | 1 of 2 | 1 of 1 | 1 of 2 | 1 |" in text  # undecided: not agreed
    assert "holds the limit in 1." in text


def test_the_suites_own_claims_and_pictures_are_tried() -> None:
    kinds = [registry.get("attack", name).kind for name in registry.names("attack")]
    assert TESTS[SUITE] == (kinds.count("confirming"), SIZES["standard"].decide)
    assert TESTS[ALONE] == (1, MOST)


def test_a_test_whose_decisions_are_wrong_too_often_fails_though_undecided_cells_do_not() -> None:
    good = [told("above", "above", "above")] * 19
    assert amiss([*good, told("below", "above", "below")]) is None  # 19 of 20
    assert amiss([*good[1:], told("below", "above", "below")]) == "one claim: 18 of 19"
    assert amiss([*good, told("below", "below", "above"), told("below", None, "above")]) == (
        f"{SUITE}: 19 of 21"
    )
    open_ = [told("below", None, None)] * 40
    assert amiss([*good, *open_]) is None
    assert decided([*good, *open_], SUITE) == (19, 19)
    assert str(amiss(open_)).count("0 of 0") == 2  # a test that never decides agrees with nothing
    assert "**Fewer than 95%" in page([*good[1:], told("below", "above", "below")])
    assert "Fewer than" not in page([*good, *open_])


def test_too_few_cells_are_said_aloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = told("above", "above", "above")
    close = {**far, "hits": 60}  # 15 of 100: 5 points above the limit
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

    # So does one whose decisions are wrong, where there are cells enough.
    monkeypatch.setattr(sequential, "short", lambda rows: None)
    monkeypatch.setattr(sequential, "row", lambda cell, hits: told("above", "below", "above"))
    with pytest.raises(SystemExit, match="one claim: 0 of 2"):
        sequential.main()
    assert "Fewer than" in (tmp_path / "sequential.md").read_text(encoding="utf-8")


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
