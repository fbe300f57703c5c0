from __future__ import annotations

import pytest
import torch

from excise.errors import UserError
from excise.judges.agreement import agreement
from excise.primitives.panel import Sheet


def sheet(name: str, shown: list[bool], labels: tuple[str, ...] = ("cat",)) -> Sheet:
    values = torch.tensor([[float(hit)] * len(labels) for hit in shown])
    cuts = dict.fromkeys(labels, 0.5)
    return Sheet(judge=name, labels=labels, things=labels, values=values, thresholds=cuts)


N = 200
TRUTH = [i % 4 == 0 for i in range(N)]
GROUPS = ["rendered"] * 100 + ["attacked"] * 100


def test_judges_that_say_the_same_agree() -> None:
    rows = agreement({"a": sheet("a", TRUTH), "b": sheet("b", TRUTH)}, "cat", GROUPS)
    assert [row.group for row in rows] == ["rendered", "attacked"]
    for row in rows:
        assert row.difference.value == 0.0
        assert row.same == 1.0
        assert row.within()
        assert row.difference.low < 0.0 < row.difference.high  # a sample cannot say more


def test_a_judge_that_fails_on_attacked_pictures_is_found_there_only() -> None:
    blind = [hit and i < 100 for i, hit in enumerate(TRUTH)]
    rows = agreement({"judge": sheet("j", TRUTH), "auditor": sheet("a", blind)}, "cat", GROUPS)
    one, other = rows
    assert one.within()
    assert not other.within()
    assert other.rates == (0.25, 0.0)
    assert other.difference.low > 0.0


def test_errors_that_cancel_are_seen_in_the_share_that_agrees() -> None:
    moved = TRUTH[1:] + TRUTH[:1]
    (row, _) = agreement({"a": sheet("a", TRUTH), "b": sheet("b", moved)}, "cat", GROUPS)
    assert row.within()
    assert row.same == pytest.approx(0.5, abs=0.02)


def test_pictures_of_one_prompt_count_less() -> None:
    wrong = [i % 40 < 10 for i in range(N)]  # whole prompts at once
    prompts = [str(i // 10) for i in range(N)]
    one, two = sheet("a", [False] * N), sheet("b", wrong)
    (alone,) = agreement({"a": one, "b": two}, "cat", ["all"] * N)
    (clustered,) = agreement({"a": one, "b": two}, "cat", ["all"] * N, prompts)
    assert clustered.difference.value == alone.difference.value
    assert clustered.difference.low < alone.difference.low


def test_a_judge_without_the_label_is_left_out() -> None:
    rows = agreement(
        {"a": sheet("a", TRUTH), "b": sheet("b", TRUTH, ("dog",)), "c": sheet("c", TRUTH)},
        "cat",
        GROUPS,
    )
    assert {(row.one, row.other) for row in rows} == {("a", "c")}


def test_every_judge_is_asked_about_the_same_pictures() -> None:
    with pytest.raises(UserError, match="same 200 pictures"):
        agreement({"a": sheet("a", TRUTH[:-1])}, "cat", GROUPS)
