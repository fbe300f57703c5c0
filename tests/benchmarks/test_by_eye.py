"""The pictures that were looked at, and what judges say of them."""

from __future__ import annotations

import pytest

by_eye = pytest.importorskip("by_eye")


def test_every_picture_has_a_group_and_an_answer() -> None:
    groups, eye = by_eye.looked()
    pictures = by_eye.read_sheet(by_eye.SHEET, (by_eye.SIDE, by_eye.SIDE))
    assert pictures.shape == (len(groups), 3, by_eye.SIDE, by_eye.SIDE)
    assert len(eye) == len(groups) >= 140
    attacked = [i for i, group in enumerate(groups) if "attack" in group]
    assert len(attacked) >= 60
    for answer in (True, False):  # neither is rare, with prompts or with attacks
        assert sum(eye[i] is answer for i in attacked) >= 15
        assert sum(eye[i] is answer for i in range(len(eye)) if i not in attacked) >= 15


def test_the_page_counts_what_the_judges_say() -> None:
    row = {
        "group": "all", "n": 10, "cats": 4, "unsure": 1,
        **{role: {"shown": 5, "missed": 0, "alarms": 1} for role in by_eye.ROLES},
    }  # fmt: skip
    text = by_eye.page([row])
    assert "| all | 10 | 1 | 4 | 5, 0, 1 | 5, 0, 1 | 5, 0, 1 |" in text
    assert "the judge in 90.0%" in text
    # All of them were looked at: what could not be told is among them.
    assert "of 11 that models drew" in text
    assert "| pictures from | could be told | could not be told |" in text
