from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.erasers.test_task_vector import SMALL
from tests.suite import two

from excise.erasers import blocks
from excise.erasers.base import Work
from excise.errors import BadSetting
from excise.primitives.arithmetic import BlockScore
from excise.progress import SILENT
from excise.settings import build

SCORES = st.lists(
    st.builds(
        BlockScore,
        block=st.text("abc", min_size=1, max_size=3),
        gain=st.floats(-1, 1),
        cost=st.floats(0.01, 1),
        norm=st.floats(0.1, 2),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda score: score.block,
)


@given(SCORES, st.floats(0.05, 1.0))
def test_the_fewest_blocks_of_most_value_that_hold_the_share(
    found: list[BlockScore], share: float
) -> None:
    names = blocks.chosen(found, share)
    by = {score.block: score for score in found}
    whole = sum(max(score.gain, 0) for score in found)
    assert sum(max(by[name].gain, 0) for name in names) >= share * whole - 1e-9
    assert len(names) == 1 or sum(max(by[n].gain, 0) for n in names[:-1]) < share * whole
    left = [score.value for name, score in by.items() if name not in names]
    assert all(by[name].value >= value for name in names for value in left)


@given(SCORES)
def test_a_record_has_every_block_and_shares_that_sum_to_one(found: list[BlockScore]) -> None:
    rows = blocks.record(found, blocks.chosen(found, 0.5))
    assert [row["block"] for row in rows] == [score.block for score in found]
    assert sum(row["norm"] for row in rows) == pytest.approx(1)
    assert any(row["kept"] for row in rows)


@pytest.mark.slow
def test_a_smaller_share_confines_the_vector() -> None:
    work = Work(model=two.model(), concepts=(two.CAT,), seed=0, judge=None, progress=SILENT)
    whole, record = replace(SMALL, gain=1.0).vector(work)
    part, rows = replace(SMALL, gain=0.5).vector(work)
    assert set(part) < set(whole)
    kept = {row["block"] for row in rows["blocks"] if row["kept"]}
    assert 0 < len(kept) < len(record["blocks"])
    assert all(row["kept"] for row in record["blocks"])
    groups = work.model.blocks()
    assert set(part) == {n for block in kept for n in groups[block]} & set(whole)


def test_a_share_out_of_range() -> None:
    with pytest.raises(BadSetting, match="gain"):
        build(type(SMALL), {"gain": 0.0})
