from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from excise.errors import BadFile
from excise.reporting import Report, Scores
from excise.store import save_tensors
from excise.types import Score


def looks(values: list[float], restarts: list[str] | None = None) -> Scores:
    n = len(values)
    return Scores.of(
        Score(concept="cat", judge="judge", values=torch.tensor(values), threshold=0.5),
        group="plain",
        arm="edit",
        prompts=["a cat"] * n,
        seeds=list(range(n)),
        others={"restart": restarts} if restarts else None,
    )


def test_recorded_rates_are_those_of_the_table(report: Report) -> None:
    assert report.scores is not None
    checked = 0
    for row in report.record.rates:
        for arm, rate in row.rates.items():
            found = report.scores.where(group=row.key, arm=arm, judge=row.judge).rate()
            assert found is None or found == rate
            checked += found is not None
    assert checked >= 20


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), st.floats(0, 1, width=32))
def test_a_higher_threshold_never_shows_more(values: list[float], threshold: float) -> None:
    table = looks(values)
    low, high = table.rate(threshold / 2), table.rate(threshold)
    assert low is not None
    assert high is not None
    assert high.count is not None
    assert high.count <= (low.count or 0)
    assert high.count == sum(value >= threshold for value in values)


def test_intervals_reckon_with_shared_restarts() -> None:
    values = [1.0] * 10 + [0.0] * 30
    table = looks(values, [str(i // 10) for i in range(40)])
    alone = table.rate()
    shared = Scores.concat([table], clusters=["restart"]).rate()
    assert alone is not None
    assert shared is not None
    assert shared.value == alone.value
    assert shared.high - shared.low > 1.5 * (alone.high - alone.low)


def test_no_rows_give_no_rate() -> None:
    assert looks([0.1]).where(arm="base").rate() is None


def test_tables_with_other_columns_join(tmp_path: Path) -> None:
    both = Scores.concat([looks([0.1, 0.9]), looks([0.7], ["3"])])
    assert both.factors["restart"].tolist() == ["", "", "3"]
    both.save(tmp_path / "scores.safetensors")
    again = Scores.load(tmp_path / "scores.safetensors")
    assert np.array_equal(again.values, both.values)
    assert again.thresholds == both.thresholds
    for name, column in both.factors.items():
        assert again.factors[name].tolist() == column.tolist()


def test_the_same_table_gives_the_same_bytes(report: Report, tmp_path: Path) -> None:
    assert report.scores is not None
    for name in ("a", "b"):
        report.scores.save(tmp_path / f"{name}.safetensors")
    a, b = ((tmp_path / f"{name}.safetensors").read_bytes() for name in ("a", "b"))
    assert a == b


def test_other_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.safetensors"
    save_tensors(path, {"score": torch.zeros(3)}, {"format": "excise.scores/1"})
    with pytest.raises(BadFile, match="damaged"):
        Scores.load(path)
    save_tensors(path, {"score": torch.zeros(3)}, {"format": "excise.edit/1"})
    with pytest.raises(BadFile, match="table of scores"):
        Scores.load(path)


def test_columns_have_a_row_a_score() -> None:
    with pytest.raises(ValueError, match="length 1"):
        Scores(values=np.zeros(1, np.float32), factors={}, thresholds={})
