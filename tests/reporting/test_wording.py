from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from excise.reporting import Estimate, Rate
from excise.reporting.wording import (
    between,
    listed,
    number,
    percent,
    points,
    seconds,
    size,
    tally,
)


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"), (0.0004, "<0.1 %"), (0.0158, "1.6 %"), (0.04, "4 %"), (0.0996, "10 %"),
        (0.71, "71 %"), (0.984, "98 %"), (0.996, "99.6 %"), (0.9996, ">99.9 %"), (1, "100 %"),
        (-0.012, "−1.2 %"), (1.02, "102 %"),
    ],
)  # fmt: skip
def test_percent(share: float, text: str) -> None:
    assert plain(percent(share)) == text


@given(st.floats(0, 1))
def test_only_none_and_all_read_as_such(share: float) -> None:
    assert (plain(percent(share)) == "0 %") == (share == 0)
    assert (plain(percent(share)) == "100 %") == (share == 1)


def test_the_others() -> None:
    rate = Rate.of(3, 240)
    assert tally(rate) == "3 of 240"
    assert tally(Rate(value=0.1, low=0, high=0.2, n=1000)) == "1\u202f000 pictures"
    assert plain(between(rate)) == "0.4 to 3.6 %"
    assert between(Estimate(value=1)) == ""
    assert points(-0.031) == "−3.1 points"
    assert points(0.01) == "1 point"
    assert plain(number(1_205_000)) == "1 205 000"
    assert number(-0.00123) == "−0.00123"
    assert [plain(seconds(s)) for s in (0.4, 48.2, 200, 7500)] == [
        "0.4 s",
        "48 s",
        "3 min 20 s",
        "2 h 5 min",
    ]
    assert [plain(size(b)) for b in (0, 999, 9_400_000, 1_730_000_000)] == [
        "0 B",
        "999 B",
        "9.4 MB",
        "1.7 GB",
    ]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
    assert listed([]) == ""
