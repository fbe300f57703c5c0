"""The default is tried as often as its rivals, and what cannot be made is a row that says why."""

from __future__ import annotations

from typing import Any

import experiments
import pytest
from experiments import DEVELOPED, EXPERIMENTS, HEALED_SEEDS, healing, tried
from lab import meant
from pages import ASKED, PLOTLESS
from rivals import KINDS, RIVALS, TRIED

from excise.emoji.pictures import WATERMARK
from excise.erasers.task_vector import TaskVector
from excise.errors import NumericalError, UserError
from excise.models.load import load
from excise.types import Concept


class Noted:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.healings: dict[str, list[Any]] = {}

    def healed(self, concept: str, settings: Any, seed: int) -> Any:
        self.healings.setdefault(concept, []).append((settings, seed))
        return {}

    def trial(self, **given: Any) -> Any:
        if given["settings"] == RIVALS[given["method"]][0]:
            raise UserError("not this one")
        if given["settings"] == RIVALS[given["method"]][1]:
            raise NumericalError("not finite")
        return given


def test_healing_has_as_many_settings_as_a_rival_on_each_seed_and_no_two_are_the_same() -> None:
    lab: Any = Noted()
    emoji = load("emoji")
    assert len(list(healing(lab, DEVELOPED))) == TRIED * len(DEVELOPED) * len(HEALED_SEEDS)
    for concept, own in lab.healings.items():
        target = Concept(concept, kind=KINDS[concept])
        for seed in HEALED_SEEDS:
            alike = [settings for settings, at in own if at == seed]
            found = {
                repr(meant(TaskVector.fitted(emoji, one, target.kind), target)) for one in alike
            }
            assert len(found) == TRIED, concept
            assert alike[0] == {}


def test_what_is_refused_or_not_finite_says_why_and_the_rest_goes_on() -> None:
    lab: Any = Noted()
    rows = list(tried(lab, ("cat",), ("esd",)))
    assert [row.get("why") for row in rows] == ["not this one", "not finite", *[None] * (TRIED - 2)]
    assert rows[0]["settings"] == dict(RIVALS["esd"][0])


def test_every_experiment_is_asked_about_and_none_is_on_what_is_reported() -> None:
    assert set(EXPERIMENTS) == set(ASKED)
    assert WATERMARK not in DEVELOPED
    assert set(experiments.OTHER) == set(DEVELOPED)


@pytest.mark.parametrize("name", [n for n, (_, plot) in EXPERIMENTS.items() if plot is None])
def test_only_what_has_no_plot_is_shown_without_one(name: str) -> None:
    assert name in PLOTLESS
