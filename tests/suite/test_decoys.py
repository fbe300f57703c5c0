"""Decoys: which are taken, what their floor is, and a run in which they are attacked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from tests.suite import two
from tests.suite.test_evaluate import SMALL, arms
from tests.suite.test_returned import ladder, result

from excise.errors import BadFile
from excise.reporting.reached import pooled_rate, rate_of
from excise.suite import decoys, evaluate, plan
from excise.suite.decoys import decoys_of, read_sheet
from excise.types import Concept


def save_sheet(path: Path, tiles: torch.Tensor, columns: int = 4) -> None:
    n, _, h, w = tiles.shape
    rows = tiles.permute(0, 2, 3, 1).reshape(n // columns, columns, h, w, 3)
    Image.fromarray(rows.permute(0, 2, 1, 3, 4).reshape(-1, columns * w, 3).numpy()).save(
        path, lossless=True
    )


def tiles(n: int = 8, size: int = 16) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8))


def bench(folder: Path, kind: str = "object", decoys: int = 2, **notes: Any) -> Any:
    found = {
        "decoys": ["fox", "rabbit", "castle", "key"],
        "decoy_pictures": str(folder),
        "decoy_names": {"fox": ["vixen"]},
        **notes,
    }
    return SimpleNamespace(
        plain=SimpleNamespace(notes={k: v for k, v in found.items() if v is not None}),
        judge=SimpleNamespace(labels=("cat", "fox", "rabbit", "castle", "nothing")),
        full=Concept("cat", kind=cast(Any, kind)),
        sizes=replace(SMALL, decoys=decoys),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("fox", "rabbit", "castle", "key"):
        save_sheet(tmp_path / f"{name}.webp", tiles())
    return tmp_path


def test_a_sheet_is_read_tile_by_tile(tmp_path: Path) -> None:
    save_sheet(tmp_path / "fox.webp", tiles())
    assert torch.equal(read_sheet(tmp_path / "fox.webp", (16, 16)), tiles())
    with pytest.raises(BadFile, match="tiles of 15x15"):
        read_sheet(tmp_path / "fox.webp", (15, 15))
    (tmp_path / "bad.webp").write_bytes(b"no picture")
    with pytest.raises(BadFile, match="expected a WebP"):
        read_sheet(tmp_path / "bad.webp", (16, 16))


def test_decoys_are_those_that_the_judge_can_tell_spread_over_the_list(folder: Path) -> None:
    assert decoys_of(bench(folder)) == ("fox", "rabbit")
    assert decoys_of(bench(folder, decoys=9)) == ("fox", "rabbit", "castle")  # nobody tells a key
    assert decoys_of(bench(folder, decoys=1)) == ("fox",)
    assert decoys_of(bench(folder, decoys=0)) == ()
    (folder / "fox.webp").unlink()
    assert decoys_of(bench(folder, decoys=9)) == ("rabbit", "castle")


def test_without_pictures_or_for_a_style_there_are_none(folder: Path) -> None:
    assert decoys_of(bench(folder, decoy_pictures=None)) == ()
    assert decoys_of(bench(folder, decoys=2, kind="style")) == ()
    assert decoys_of(bench(folder / "elsewhere")) == ()


def test_without_an_oracle_the_decoys_say_which_rung_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def tried(rates: dict[object, float]) -> Any:
        def attack(bench: Any, rung: Any, most: int, roles: Any = ()) -> Any:
            asked.append((rung, tuple(roles)))
            return {"fox": {"base": result(rates[rung])}}

        return attack

    one = bench(folder)
    one.role = lambda role: object()
    whole = ladder({1: 0.0, 4: 0.0, "condition": 0.0})
    alone = replace(whole, oracle=None, top=None)
    assert alone.headline == 4  # nobody knows, and at the top everything injects
    monkeypatch.setattr(decoys, "attack_decoys", tried({"condition": 0.9, 4: 0.05, 1: 0.0}))
    found = decoys.topped(one, alone)
    assert (found.top, found.headline) == (4, 4)
    assert asked == [("condition", ("base",)), (4, ("base",))]  # no further than it has to
    monkeypatch.setattr(decoys, "attack_decoys", tried({"condition": 0.9, 4: 0.9, 1: 0.9}))
    found = decoys.topped(one, alone)
    assert (found.top, found.headline) == (None, 1)
    assert decoys.topped(one, whole) is whole  # the oracle has said it
    one.sizes = replace(one.sizes, decoys=0)
    assert decoys.topped(one, alone) is alone


def test_a_pool_of_one_is_its_own_rate() -> None:
    one = result(0.4)
    assert pooled_rate([one], 4) == rate_of(one, 4)
    same = pooled_rate([one, one], 4)
    assert same.value == pytest.approx(rate_of(one, 4).value)


@pytest.mark.slow
def test_decoys_are_attacked_as_the_concept_is(tmp_path: Path) -> None:
    model = two.model()
    side = model.picture_size[0]
    dogs = (two.means()[1].clamp(0, 1) * 255).round().to(torch.uint8)
    for name in ("fox", "dog"):
        save_sheet(tmp_path / f"{name}.webp", dogs.expand(8, 3, side, side).clone())
    notes = dict(model.notes)
    # What the tiny model knows as a dog plays the part of a decoy that an attack reaches.
    model.notes = {**notes, "decoys": ["fox", "dog"], "decoy_pictures": str(tmp_path)}
    try:
        sizes = replace(SMALL, rungs=(2,), decoys=1, attacks=())
        report = evaluate(arms(), two.CAT, two.Two(), budget=sizes)
        planned = plan(arms(), two.CAT, two.Two(), budget=sizes)
    finally:
        model.notes = notes
    (attack,) = report.record.attacks
    assert attack.decoys is not None
    assert list(attack.decoys.each) == ["dog"]
    assert set(attack.decoys.floors) == {"base", "edit"}
    rung = attack.counts
    assert rung is not None
    for arm, floor in attack.decoys.floors.items():
        apart = floor.value - rung.rates["oracle"].value
        assert attack.decoys.gaps[arm].value == pytest.approx(apart)
    assert "decoys: before" in {row.stage for row in report.record.costs}
    counted = {row.stage: row.cost.pictures for row in report.record.costs}
    assert counted["decoys: before"] == sum(
        line.pictures for line in planned.lines if (line.stage, line.arm) == ("decoys", "base")
    )
    assert "decoy floor" in report.html()
