"""Variety falls where a model collapses, and drift is where pictures moved."""

from __future__ import annotations

import pytest
import torch

from excise.primitives.panel import Sheet
from excise.primitives.probe import Look, Probe, Shot
from excise.reporting import Measure
from excise.rng import generator
from excise.suite.book import Book
from excise.suite.quality import measures
from excise.types import Prompt

GROUPS = ("dog", "horse", "house", "car")


def look(thumbs: torch.Tensor) -> Look:
    shots = tuple(
        Shot(prompt=Prompt(f"{'a' if i % 2 else 'the'} {name}"), seed=i, label=name, group=name)
        for name in GROUPS
        for i in range(4)
    )
    values = torch.ones(len(shots), 1)
    sheet = Sheet(judge="j", labels=("dog",), things=(), values=values, thresholds={"dog": 0.5})
    return Look(probe=Probe(shots=shots), sheet=sheet, thumbs=thumbs)


def pictures(seed: int = 0) -> torch.Tensor:
    shape = (16, 3, 16, 16)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator("quality", seed))


def found(**arms: torch.Tensor) -> dict[str, Measure]:
    looks = {arm: look(thumbs) for arm, thumbs in arms.items()}
    base = "base" if "base" in arms else None
    return {one.name: one for one in measures(Book(), looks, ("dog",), base)}


def test_one_picture_for_all_seeds_has_no_variety() -> None:
    whole = pictures()
    made = found(base=whole, edit=whole[:1].expand(16, -1, -1, -1).clone())["diversity"]
    assert made.values["edit"].value == 0.0
    assert made.values["base"].value > 0.1
    assert made.want == "high"


def test_drift_is_counted_by_what_it_is_near_to() -> None:
    whole = pictures()
    moved = whole.clone()
    moved[:4] = 255 - moved[:4]  # the neighbour alone
    made = found(base=whole, edit=moved, same=whole)
    assert made["drift"].values["edit"].value == 0.0
    assert made["drift_near"].values["edit"].value > 0.3
    assert made["drift_near"].values["same"].value == 0.0
    assert "base" not in made["drift"].values


def test_another_picture_at_every_seed_drifts_as_far_as_two_seeds_do() -> None:
    made = found(base=pictures(), edit=pictures(1))["drift"]
    scale = float(made.note.split("differ by ")[1].split(" ")[0])
    assert made.values["edit"].value == pytest.approx(scale, rel=0.05)
    low = made.values["edit"].low
    assert low is not None
    assert low <= made.values["edit"].value


def test_without_a_base_there_is_variety_only() -> None:
    assert list(found(edit=pictures())) == ["diversity"]
