"""The strength to erase at is the smallest at which nothing brings the concept back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from excise.erasers import extinction
from excise.erasers.extinction import STRENGTHS, Extinct
from excise.erasers.task_vector import TaskVector
from excise.progress import SILENT
from excise.store import Artefact


class Edited:
    """A model that knows at which strength it is edited."""

    strength = 0.0

    @contextmanager
    def swapped(self, deltas: Mapping[str, Any], *, strength: float = 1.0) -> Iterator[None]:
        self.strength = strength
        yield
        self.strength = 0.0


class Asked:
    """A run that keeps nothing."""

    def __init__(self) -> None:
        self.model, self.progress, self.seed = Edited(), SILENT, 0
        self.names: list[str] = []

    def kept(self, name: str, compute: Callable[[], tuple[Any, Any]]) -> Artefact:
        self.names.append(name)
        tensors, record = compute()
        return Artefact(tensors=tensors, record=record)


def found(
    monkeypatch: pytest.MonkeyPatch, shown: Callable[[float], tuple[int, int]]
) -> tuple[Extinct, Asked]:
    """shown: hits among 100 pictures of plain words and of searched inputs, at a strength."""
    work = Asked()

    def looked(*_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        plain, searched = shown(work.model.strength)
        return {}, {"plain": [plain, 100], "searched": [searched, 100]}

    monkeypatch.setattr(extinction, "_shown", looked)
    method: Any = TaskVector()
    anything: Any = work
    return extinction.extinction(method, anything, anything, {}, (), ()), work


@pytest.mark.parametrize("gone", STRENGTHS)
def test_it_is_the_smallest_strength_without_hits(
    monkeypatch: pytest.MonkeyPatch, gone: float
) -> None:
    at, work = found(monkeypatch, lambda alpha: (0, 40 if alpha < gone else 0))
    assert at.alpha == gone
    assert len(set(work.names)) == len(work.names) == len(at.tried) <= 3
    again, _ = found(monkeypatch, lambda alpha: (40 if alpha < gone else 0, 0))
    assert again.alpha == gone


def test_a_false_alarm_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, lambda _: (1, 1))[0].alpha == STRENGTHS[0]
    assert found(monkeypatch, lambda _: (8, 0))[0].alpha == STRENGTHS[-1]


def test_what_was_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = found(monkeypatch, lambda alpha: (0, 9 if alpha < 2 else 0))[0].to_json()
    assert [row["alpha"] for row in rows] == sorted(row["alpha"] for row in rows)
    assert all((row["searched"][0] == 0) == (row["alpha"] >= 2) for row in rows)
