from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from excise.primitives.halves import halves

GROUPS = st.lists(st.sampled_from(("dog", "car", "key")), max_size=40)


@given(GROUPS, st.integers(0, 9))
def test_no_picture_is_on_both_sides_and_groups_weigh_the_same(
    groups: list[str], seed: int
) -> None:
    one, other = (half.tolist() for half in halves(groups, seed))
    assert len({*one, *other}) == len(one) + len(other)
    assert Counter(groups[i] for i in one) == Counter(groups[i] for i in other)
    left = Counter(groups) - Counter(groups[i] for i in (*one, *other))
    assert all(count == 1 for count in left.values())
    assert [half.tolist() for half in halves(groups, seed)] == [one, other]


def test_another_seed_is_another_split() -> None:
    groups = ["dog"] * 20
    assert halves(groups, 0)[0].tolist() != halves(groups, 1)[0].tolist()
