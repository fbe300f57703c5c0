from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from excise.attacks.result import AttackResult
from excise.suite.asked import Asked
from excise.suite.battery import Battery
from excise.suite.worst_case import confirmatory, ensemble, largest_excess, worst_found
from excise.types import Costs, Prompt, Request

P, S, T = 8, 2, 6
GROUPS = ("name", "name", "synonym", "synonym", "held_back", "held_back", "silent", "silent")
ASKED = tuple(Asked(Prompt(f"{g} {i}"), g) for i, g in enumerate(GROUPS))  # type: ignore[arg-type]


def result(rate: Any, name: str = "a", restarts: int = 1) -> AttackResult:
    """An attack that reaches each prompt at a rate, the same on select and score seeds."""
    rates = np.broadcast_to(np.asarray(rate, dtype=float), (P,))
    select = np.stack([np.linspace(0, 1, S, endpoint=False) < r for r in rates])
    score = np.stack([np.linspace(0, 1, T, endpoint=False) < r for r in rates])
    spread = (restarts, 1, 1)
    request = Request(prompts=("a",))  # type: ignore[arg-type]
    return AttackResult(
        attack=name, settings={}, chooses="prompt", independent=True, pooled=False,
        concept="cat", judge="j", threshold=0.5, prompts=tuple(a.prompt.text for a in ASKED),
        requests=((request,) * P,) * restarts, select_seeds=tuple(range(S)),
        score_seeds=tuple(range(10, 10 + T)), seed=0,
        select=torch.from_numpy(np.tile(select.astype(np.float32), spread)),
        score=torch.from_numpy(np.tile(score.astype(np.float32), spread)),
        searched=Costs(), drawn=Costs(),
    )  # fmt: skip


def battery(rows: dict[str, dict[str, Any]], **kinds: Any) -> tuple[Any, Battery]:
    """rows: by attack and arm, rates. kinds: of attacks, where they are not plain searches."""
    arms = list(next(iter(rows.values())))
    bench = SimpleNamespace(
        role=lambda role: SimpleNamespace(key=role) if role in arms else None,
        arms=dict.fromkeys(arms), seed=0, sizes=SimpleNamespace(score=T),
    )  # fmt: skip
    attacks: Any = {
        name: SimpleNamespace(**{"kind": "confirming", "rewords": True, **kinds.get(name, {})})
        for name in rows
    }
    results = {n: {arm: result(r, n) for arm, r in by.items()} for n, by in rows.items()}
    return bench, Battery(asked=ASKED, attacks=attacks, results=results)


SILENT = [0, 0, 0, 0, 0, 0, 1, 1]


def test_an_attack_can_tell_by_prompts_that_do_not_name_the_concept() -> None:
    named = [1 - x for x in SILENT]
    bench, found = battery(
        {
            "good": {"base": 1, "edit": 0, "oracle": 0},
            "mute": {"base": named, "edit": 0, "oracle": 0},  # only where it is named
            "injects": {"base": 1, "edit": 1, "oracle": 1},
            "plain": {"base": named, "edit": 0, "oracle": 0},
            "start": {"base": 1, "edit": 0, "oracle": 0},
            "reseed": {"base": named, "edit": 0, "oracle": 0},
        },
        plain={"rewords": False},
        start={"kind": "injecting"},
    )
    can = {name: confirmatory(bench, found, name) for name in found.attacks}
    assert can == {"good": True, "mute": False, "injects": False, "plain": True, "start": False,
                   "reseed": True}  # fmt: skip


def test_nobody_can_say_without_base_or_oracle() -> None:
    bench, found = battery({"good": {"base": 1, "edit": 0}})
    assert confirmatory(bench, found, "good") is None
    assert largest_excess(bench, found) is None
    assert worst_found(bench, found) is not None


def test_the_excess_is_the_largest_of_those_that_can_tell_and_no_difference_of_maxima() -> None:
    bench, found = battery(
        {
            "one": {"base": 1, "edit": 0.5, "oracle": 0.16},
            "two": {"base": 1, "edit": 0.6, "oracle": 0.0},
            "injects": {"base": 1, "edit": 1, "oracle": 0.5},
        }
    )
    excess = largest_excess(bench, found)
    assert excess is not None
    assert set(excess.values) == {"one", "two"}
    assert excess.attack == "two"
    assert excess.value == pytest.approx(2 / 3)  # and not 2/3 - 1/6, which is the other's
    assert excess.upper == max(excess.uppers.values()) > excess.value


def test_plain_words_alone_are_no_bound_on_what_a_search_finds() -> None:
    rows = {"reseed": {"base": 1, "edit": 0, "oracle": 0}}
    bench, found = battery(rows)
    assert largest_excess(bench, found) is None


def test_the_worst_case_takes_for_each_prompt_what_looked_best() -> None:
    left = [1, 1, 1, 1, 0, 0, 0, 0]
    right = [1 - x for x in left]
    hits, taken = ensemble({"left": result(left, "left"), "right": result(right, "right")})
    assert hits.all()
    assert taken == ("left",) * 4 + ("right",) * 4
    # Looked best, not was best: what the score seeds say is not chosen on.
    lucky = replace(result(0), score=torch.ones(1, P, T))
    hits, taken = ensemble({"seen": result(0.6, "seen"), "lucky": lucky})
    assert taken == ("seen",) * P
    assert hits.mean() == pytest.approx(4 / 6)


def test_attacks_that_inject_are_not_in_the_worst_case() -> None:
    bench, found = battery(
        {
            "good": {"base": 1, "edit": 0, "oracle": 0},
            "injects": {"base": 1, "edit": 1, "oracle": 1},
        }
    )
    worst = worst_found(bench, found)
    assert worst is not None
    assert worst.rates["edit"].value == 0
    assert worst.chosen["edit"] == {"good": P}
