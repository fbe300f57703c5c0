from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.suite.arena import battery
from tests.suite.checks.staged import bench, empty, evidence, names

from excise.primitives.data import SHARES
from excise.suite.checks import Sets
from excise.suite.checks.sets import USES, base_replayed, inputs_overlap, pictures_overlap
from excise.suite.history import History
from excise.types import Prompt, Request


def overlap(history: History, sets: Sets) -> Any:
    return pictures_overlap(evidence(record=empty(), history=history, sets=sets))


@pytest.mark.parametrize(
    ("sets", "found"),
    [
        (Sets(attacker=("a",), held_out=("b",)), []),
        (Sets(attacker=("tau", "a")), ["sets_overlap"]),
        (Sets(held_out=("tau", "b")), ["held_out_overlap"]),
        (Sets(attacker=("a",), held_out=("a", "b")), ["held_out_overlap"]),
        (Sets(attacker=("a",), held_out=("a", "tau")), ["held_out_overlap"] * 2),
    ],
)
def test_sets_that_share_pictures_are_told(sets: Sets, found: list[str]) -> None:
    history = History(record={"pictures": [{"hashes": ["tau", "tau2"]}]})
    assert names(overlap(history, sets)) == found


OWN = {"tau": ("a", "b"), "find": ("c",), "choose": ("d", "e"), "check": ("f",)}


@pytest.mark.parametrize("one", OWN)
@pytest.mark.parametrize("other", OWN)
def test_the_edits_own_sets_share_no_picture_pairwise(one: str, other: str) -> None:
    sets = {**OWN, one: (*OWN[one], OWN[other][0])} if one != other else OWN
    rows = [{"split": name, "hashes": list(hashes)} for name, hashes in sets.items()]
    # The same split of two concepts is one set, whatever they share.
    rows.append({"split": one, "hashes": list(OWN[one])})
    found = list(overlap(History(record={"pictures": rows}), Sets(attacker=("x",))))
    if one == other:
        assert found == []
        return
    (check,) = found
    assert check.name == "own_sets_overlap"
    assert check.found.startswith("1 of the pictures")
    assert USES[one] in check.found
    assert USES[other] in check.found


def test_what_an_eraser_takes_for_each_use_is_in_none_of_the_others() -> None:
    assert set(USES) == set(SHARES) - {"attack", "test"}
    assert set(OWN) == set(USES)


def test_it_is_said_how_many_pictures_who_had() -> None:
    history = History(record={"pictures": [{"hashes": ["a", "b"]}]})
    edit, attacker = overlap(history, Sets(attacker=("c",), held_out=("a", "b", "c", "d")))
    assert "2 of the 4" in edit.found
    assert "the edit" in edit.found
    assert "1 of the 4" in attacker.found
    assert "the attacker" in attacker.found


def soft(seed: int) -> Request:
    """One that a search found."""
    vector = torch.randn(4, 8, generator=torch.Generator().manual_seed(seed))
    return Request(prompts=(Prompt("a <1>", {"<1>": {"text_encoder": vector}}),))


def attacked(base: int, edit: int, **attack: Any) -> Any:
    """A search that found inputs from these seeds on, a prompt each."""
    rows = {"search": {"base": 1, "edit": 1, "oracle": 0}}
    _, found = battery(rows, search={"needs": {"gradients"}, **attack})
    for arm, start in (("base", base), ("edit", edit)):
        one = found.results["search"][arm]
        requests = (tuple(soft(start + p) for p in range(len(found.asked))),)
        found.results["search"][arm] = replace(one, requests=requests)  # type: ignore[index]
    return found


def edited(**deltas: torch.Tensor) -> Any:
    own = bench()
    own.arms["edit"].edit = SimpleNamespace(deltas=deltas, hooks=())
    return own


def test_inputs_of_the_base_on_an_edited_model_are_a_replay() -> None:
    own = edited(weight=torch.ones(1))
    (check,) = base_replayed(evidence(own, empty(), battery=attacked(0, 0)))
    assert (check.name, check.level) == ("base_replayed", "error")
    assert names(base_replayed(evidence(own, empty(), battery=attacked(0, 100)))) == []


def test_inputs_of_the_bases_pool_are_a_replay_whichever_is_chosen() -> None:
    own, found = edited(weight=torch.ones(1)), attacked(0, 100)
    pool = tuple(tuple(soft(start + p) for p in range(len(found.asked))) for start in (0, 100))
    one = found.results["search"]["base"]
    select, score = (torch.cat([value] * 2) for value in (one.select, one.score))
    every = replace(one, requests=pool, select=select, score=score)
    found.results["search"]["base"] = every.trimmed()
    assert names(base_replayed(evidence(own, empty(), battery=found))) == ["base_replayed"]
    found.results["search"]["edit"] = attacked(0, 200).results["search"]["edit"]
    assert names(base_replayed(evidence(own, empty(), battery=found))) == []


def test_a_word_of_the_vocabulary_may_be_the_best_for_both() -> None:
    found = attacked(0, 0)
    for name, one in found.results["search"].items():
        words = tuple(Request(prompts=("cat",), seeds=(0,)) for _ in found.asked)
        found.results["search"][name] = replace(one, requests=(words,))
    own = edited(weight=torch.ones(1))
    assert names(base_replayed(evidence(own, empty(), battery=found))) == []


def test_who_does_not_look_at_the_model_finds_the_same_for_all() -> None:
    own = edited(weight=torch.ones(1))
    blind = attacked(0, 0, needs={"prompts"})
    assert names(base_replayed(evidence(own, empty(), battery=blind))) == []
    # Nor is it a replay where the edit is none.
    same = edited()
    assert names(base_replayed(evidence(same, empty(), battery=attacked(0, 0)))) == []


def test_an_input_that_chose_the_strength_is_no_attack() -> None:
    class Past(History):
        @property
        def choose(self) -> Any:
            value = soft(103).prompts[0].soft["<1>"]["text_encoder"]
            return (SimpleNamespace(values={"text_encoder": value[None]}),)

    seen = evidence(record=empty(), history=Past(), battery=attacked(0, 100))
    (check,) = inputs_overlap(seen)
    assert check.name == "inputs_overlap"
    assert check.found.startswith("1 of the inputs")
    apart = evidence(record=empty(), history=Past(), battery=attacked(0, 200))
    assert names(inputs_overlap(apart)) == []
