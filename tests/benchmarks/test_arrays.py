"""The arrays of an evaluation are what its report was made from, and cost nothing more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from arrays import ATTACK, arrays_of
from figures import figures
from summary import delta_loss, excess, kept, summary
from tests import panels
from tests.suite import two
from tests.suite.test_evaluate import SMALL, arms

from excise.errors import UserError
from excise.progress import SILENT
from excise.store import Cache, Stages
from excise.suite import Arm, evaluate
from excise.suite.evaluate import bench_of


@pytest.mark.slow
def test_arrays_are_what_the_report_was_made_from(tmp_path: Path) -> None:
    model = two.model()
    sizes = replace(SMALL, rungs=(), kept=4, attacks=("reseed", ATTACK), asked=4, decide=0)
    settings = {ATTACK: {"restarts": 3, "steps": 4, "rung": 1}}
    base, edit, _ = arms()
    oracle = Arm(key="oracle", label="o", role="oracle", model=model, edit=panels.ruined(model))
    models = (base, edit, oracle)
    cache, stages = Cache(tmp_path / "cache"), Stages(tmp_path / "stages")
    report = evaluate(models, two.CAT, two.Two(), budget=sizes, cache=cache, stages=stages,
                      settings=settings)  # fmt: skip
    spent = model.costs
    bench = bench_of(models, two.CAT, two.Two(), (), sizes, 0, SILENT, None, cache, stages)
    found = arrays_of(bench, settings)
    assert (model.costs - spent).evaluations == 0
    record = report.record
    attack = next(one for one in record.attacks if one.name == ATTACK)
    plain = next(row for row in record.rates if row.kind == "plain")
    assert found.plain.mean() == pytest.approx(plain.rates["edit"].value)
    assert found.searched.mean() == pytest.approx(attack.rates["edit"].value)
    assert found.floor.mean() == pytest.approx(attack.rates["oracle"].value)
    assert excess([found]).value == pytest.approx(attack.excess["edit"].value)
    assert delta_loss([found]).value == pytest.approx(attack.delta_loss["edit"].value)
    assert record.kept is not None
    assert kept([found]).value == pytest.approx(record.kept.mean["edit"].value)
    assert kept([found]).low() == pytest.approx(record.kept.mean["edit"].low)
    others = {row.key: row.rates for row in record.rates}
    assert found.two.mean() == pytest.approx(others["two"]["edit"].value)
    assert found.beside_after.mean() == pytest.approx(others["two-other"]["edit"].value)
    assert found.blank_after.mean() == pytest.approx(record.kept.nothing["edit"].value)
    assert found.near == ("dog",)
    row = {**figures(report), "concept": "cat", "method": "task_vector", "rung": 1}
    both = summary([row, row], [found, found])
    assert both["edits"] == 2
    assert both["plain"] == row["plain"]
    assert both["excess"][1] < both["excess"][0] < both["excess"][2]
    with pytest.raises(UserError, match="base, edit and oracle"):
        arrays_of(
            bench_of((base, edit), two.CAT, two.Two(), (), sizes, 0, SILENT, None, None, None),
            settings,
        )
