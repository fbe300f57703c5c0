"""Rates of pictures that share what they were asked with."""

from __future__ import annotations

import pytest

from excise.reporting.figures import Rate

HITS = [True] * 6 + [False] * 6
WORDS = [word for word in "abcd" for _ in range(3)]


def test_prompts_that_do_all_or_nothing_say_less_than_as_many_independent_pictures() -> None:
    mixed = [True, False] * 6
    apart, alike = (Rate.across(hits, {"prompt": WORDS}) for hits in (HITS, mixed))
    alone = Rate.of(6, 12)
    assert apart.value == alike.value == alone.value == 0.5
    assert (apart.count, apart.n) == (6, 12)
    assert apart.high - apart.low > alike.high - alike.low > alone.high - alone.low


def test_pictures_of_one_prompt_are_independent() -> None:
    assert Rate.across(HITS, {"prompt": ["a"] * 12}) == Rate.of(6, 12)
    assert Rate.across(HITS, {}) == Rate.of(6, 12)


@pytest.mark.parametrize("hit", [False, True])
def test_no_spread_is_no_certainty(hit: bool) -> None:
    found = Rate.across([hit] * 12, {"prompt": WORDS})
    assert found.value == float(hit)
    assert found.high - found.low > 0.2
