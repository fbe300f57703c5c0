"""What an attack on the chosen strength leads to: a verdict, a larger choose-set, the next best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from excise.erasers import settling
from excise.erasers.choosing import Trial
from excise.erasers.task_vector import TaskVector
from excise.primitives.kept import Kept
from excise.primitives.strength import Floors, Reading, Search
from excise.stats import Rate, wilson

METHOD = TaskVector(grid=(1.0, 2.0, 3.0), refine=0, rounds=2)
NONE = Rate(0, 100)
STAYS = Kept(
    mean=1.0, lower=0.99, level=0.95, classes=(), weak=(), nothing=wilson(0, 100), pictures=100
)


@dataclass
class Scripted:
    """Every strength erases and keeps; attacks come out as they are told to."""

    trials: list[Trial]
    floors: Floors = field(default_factory=Floors)
    choose: list[Any] = field(default_factory=list)
    attacks: list[float] = field(default_factory=list)

    def reading(self, direction: Mapping[str, Any], alpha: float) -> Reading:
        return Reading(alpha=alpha, plain=NONE, embeddings=(NONE,), kept=STAYS)

    def attacked(self, direction: Mapping[str, Any], alpha: float, number: int) -> Trial:
        self.attacks.append(alpha)
        return self.trials[number]


def trial(*, back: int = 0, searched: int = 0, plain: int = 0) -> Trial:
    member: Any = [0] * back
    return Trial(
        tried=8,
        back=(member,) if back else (),
        searched=Rate(searched, 100),
        plain=Rate(plain, 100),
    )


def run(*trials: Trial) -> tuple[Scripted, Any, list[dict[str, Any]], bool]:
    finder = Scripted(list(trials))
    return (finder, *settling._searched(METHOD, finder, {}))  # type: ignore[arg-type]


def test_what_withstands_an_attack_is_verified() -> None:
    finder, result, rounds, verified = run(trial(searched=10, plain=1))
    assert verified
    assert result.chosen == finder.attacks[0] == 1.0
    assert rounds[0]["searched"] == [10, 100]
    assert rounds[0]["upper"]["plain"] > 0.01
    assert rounds[0]["level"] == pytest.approx(0.975)


@pytest.mark.parametrize("failed", [trial(searched=11), trial(plain=2)])
def test_a_strength_that_fails_as_a_whole_gives_way_to_the_next_best(failed: Trial) -> None:
    finder, result, rounds, verified = run(failed, trial())
    assert verified
    assert finder.attacks == [1.0, 2.0]
    assert result.chosen == 2.0
    assert finder.choose == []
    assert len(rounds) == 2


def test_what_was_brought_back_joins_the_choose_set() -> None:
    finder, result, _, verified = run(trial(back=3), trial(back=1))
    assert not verified
    assert finder.choose == [[0] * 3, [0]]
    assert result.chosen == 1.0  # its own readings say yes still


def test_a_strength_that_is_found_wanting_is_not_tried_again_for_what_joined() -> None:
    finder, result, _, verified = run(trial(back=3, searched=30), trial())
    assert verified
    assert finder.choose == [[0] * 3]
    assert finder.attacks == [1.0, 2.0]
    assert result.chosen == 2.0


def test_where_none_passes_the_one_that_came_nearest_is_answered() -> None:
    finder, result, _, verified = run(trial(plain=4, searched=12), trial(plain=2))
    assert not verified
    assert finder.attacks == [1.0, 2.0]
    assert result.chosen == 2.0
    _, result, *_ = run(trial(plain=2), trial(plain=4))
    assert result.chosen == 1.0


def test_nothing_is_verified_where_all_that_may_be_tried_fail() -> None:
    finder, result, rounds, verified = run(trial(plain=5), trial(searched=50))
    assert not verified
    assert finder.attacks == [1.0, 2.0]
    assert result.chosen == 1.0
    assert len(rounds) == METHOD.rounds


@pytest.mark.parametrize(
    ("variant", "erased", "remedy"),
    [
        ("healed", 1.0, "--set heal=10 --set walks=14"),
        ("healed", None, "--set embeddings=6"),
        ("paper", 1.0, "--set variant=healed"),
    ],
)
def test_a_remedy_is_more_of_what_was_tried(
    variant: Any, erased: float | None, remedy: str
) -> None:
    method = TaskVector(variant=variant, heal=5, walks=7, embeddings=3)
    reading = Scripted([]).reading({}, 1.0)
    result = Search(readings=(reading,), erased_from=erased, kept_to=None, chosen=None)
    assert remedy in settling._why(method, result)
