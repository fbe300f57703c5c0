"""The rung that counts is found from the oracle alone, by the search that claims are made with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import claims
import pytest
import torch
from claims import Floors, claimed, rung_of
from figures import figures
from tests.benchmarks.test_study import SMALL
from tests.benchmarks.tiny_study import Tiny, model

from excise.attacks.concept_inversion import Rung
from excise.edit import Edit, Recipe
from excise.rng import generator
from excise.types import Concept


class Told(Floors):
    """An oracle whose rates are told."""

    def __init__(self, **rates: float) -> None:
        self.rates = rates
        self.asked: list[Rung] = []

    def reached(self, concept: str, rung: Rung) -> float:
        self.asked.append(rung)
        return self.rates[f"t{rung}" if isinstance(rung, int) else rung]


def test_the_largest_rung_counts_that_the_oracle_withstands() -> None:
    told = Told(t8=0.4, t4=0.16, t2=0.15, t1=0.0)
    assert told.rung("sketch", 8) == 2
    assert told.asked == [8, 4, 2]  # none above the ladder's own, none below what is found
    assert Told(step_condition=0.0).rung("cat", "step_condition") == "step_condition"
    assert Told(t2=0.9, t1=0.8).rung("cat", 2) == 1


def test_a_ladder_names_its_rung() -> None:
    assert rung_of({"headline": "t8"}) == 8
    assert rung_of({"headline": "condition"}) == "condition"


@pytest.mark.slow
def test_the_claims_find_what_the_floor_has_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = replace(SMALL, rungs=(), attacks=("concept_inversion",), asked=2)
    monkeypatch.setattr(claims, "CLAIM", brief)
    monkeypatch.setattr(claims, "POOL", {"restarts": 3, "steps": 2})
    study, never = Shown(tmp_path), model()
    with torch.no_grad():
        never.parameters("*")["unet.conv_out.bias"].add_(1)
    study._oracles["cat"] = never
    rate = Floors(study).reached("cat", 2)
    spent = never.costs
    edit = Edit.of(study.model, {"unet.conv_out.bias": torch.ones(4)}, recipe=Recipe(method="m"))
    report = study.report(edit, "cat", sizes=brief, settings=claimed(2))
    assert (never.costs - spent).evaluations < spent.evaluations  # plain pictures alone
    assert figures(report)["searched"]["oracle"] == pytest.approx(rate)
    again = Floors(Shown(tmp_path))
    monkeypatch.setattr(Floors, "_row", None)
    again.study._oracles["cat"] = never
    assert again.rung("cat", 2, only=True) is None  # the smallest rung was not measured
    assert again.reached("cat", 2) == rate


class Shown(Tiny):
    """Its concepts have pictures."""

    def concept(self, name: str, *, shown: bool) -> Concept:
        size = (40, 3, *self.model.picture_size)
        rows = torch.randint(0, 256, size, generator=generator("shown")).to(torch.uint8)
        return replace(super().concept(name, shown=shown), pictures=rows)
