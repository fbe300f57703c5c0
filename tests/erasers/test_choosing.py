from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.erasers.working import work_on
from tests.suite import two
from torch import Tensor

from excise.erasers import searching
from excise.erasers.choosing import Finder, Trial
from excise.erasers.task_vector import TaskVector
from excise.primitives.kept import kept_probe
from excise.primitives.strength import Floors
from excise.stats import Rate
from excise.types import Concept

METHOD = TaskVector(kept=8, natural=0.01)


@dataclass(frozen=True, kw_only=True)
class Alarmed(two.Two):
    """Sees a cat in every fourth picture too, whatever it shows."""

    def scores(self, pictures: Tensor) -> Tensor:
        found = super().scores(pictures)
        found[::4, self.labels.index("cat")] = 1.0
        return found


def finder(judge: Any) -> Finder:
    model = two.model()
    work = replace(work_on(model, two.CAT), judge=judge)
    probe = kept_probe(model, (two.CAT,), METHOD.kept, judge=judge)
    base = probe.look(model, judge)
    return Finder(method=METHOD, work=work, judge=judge, explained=(), checked=(), base=base,
                  near=())  # fmt: skip


def test_the_floor_for_plain_words_is_at_least_the_judges_false_alarms() -> None:
    assert finder(two.Two()).floors == METHOD.floors
    alarmed = finder(Alarmed())
    rows = torch.arange(len(alarmed.base)) % 4 == 0
    assert alarmed.floors.natural >= float(rows.float().mean()) > METHOD.natural
    assert replace(alarmed.floors, natural=METHOD.natural) == METHOD.floors


def test_an_attack_is_passed_by_what_is_below_both_floors_and_brings_nothing_back() -> None:
    good = Trial(tried=8, back=(), searched=Rate(6, 64), plain=Rate(1, 120))
    assert good.passed(Floors())
    member: Any = [0]
    assert not replace(good, back=(member,)).passed(Floors())
    assert not replace(good, searched=Rate(7, 64)).passed(Floors())
    assert not replace(good, plain=Rate(2, 120)).passed(Floors())


def test_a_strength_is_judged_by_the_spaces_that_have_a_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def inputs(method: Any, work: Any, concept: Any, latents: Any, **given: Any) -> tuple[()]:
        asked.append(given["within"])
        return ()

    monkeypatch.setattr(searching, "inputs", inputs)
    one = finder(two.Two())
    for concept in (two.CAT, Concept("sketch", kind="style")):
        own = replace(one, work=replace(one.work, concepts=(concept,)))
        assert own._search((SimpleNamespace(latents=None),), 0, "repulsed") == []  # type: ignore[arg-type]
    assert asked == [("token", "condition"), ("token",)]
