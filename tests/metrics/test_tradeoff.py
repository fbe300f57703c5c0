from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests import panels
from tests.metrics import seeing

from excise.errors import BadSetting
from excise.metrics.base import prepare
from excise.metrics.tradeoff import TradeOff
from excise.primitives.standing import Standing


def test_every_edit_has_a_curve_and_the_areas_are_over_what_all_reach() -> None:
    model, judge = seeing.model(), seeing.blind()
    before = model.fingerprint()
    work = prepare(model, None, panels.CAT, judge=judge, edit=panels.renamed(model, "cat", "dog"))
    work = replace(
        work, arms={**work.arms, "rival": Standing(model=model, edit=panels.ruined(model))}
    )
    found: Any = TradeOff(pictures=1, strengths=(0.01, 1.0)).answer(work)
    assert model.fingerprint() == before
    for points in found["curves"].values():
        assert points[0]["excess"] > 0.5 > points[1]["excess"]  # hardly edited, then erased
        assert points[0]["kept"] > 0.5
    assert found["curves"]["edit"][1]["kept"] == 1.0
    assert found["curves"]["rival"][1]["kept"] == 0.0  # erased, and all else with it
    low, high = found["range"]
    assert low < high
    assert found["areas"]["edit"] > found["areas"]["rival"]


def test_without_an_edit_there_is_no_curve_and_at_one_strength_no_area() -> None:
    model, judge = seeing.model(), seeing.blind()
    assert TradeOff(pictures=1).measure(model, model, panels.CAT, judge=judge) == {}
    edit = panels.renamed(model, "cat", "dog")
    found = TradeOff(pictures=1, strengths=(1.0,)).measure(
        model, None, panels.CAT, judge=judge, edit=edit
    )
    assert found["areas"] == {}
    assert "in common" in found["why"]
    with pytest.raises(BadSetting, match="strengths > 0"):
        TradeOff(strengths=(0.0,))
