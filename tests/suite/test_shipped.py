"""What a first look needs of base and oracle came with the package."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.suite import two

import excise
from excise.api.cases import SHIPPED, arms_of
from excise.api.judging import judges_for
from excise.progress import SILENT
from excise.suite import SIZES
from excise.suite.arms import SHARED, Arm
from excise.suite.battery import fight
from excise.suite.bench import Bench
from excise.suite.evaluate import bench_of
from excise.suite.ladder import attacked
from excise.suite.sizes import FIRST
from excise.types import Concept

PRECISION = "bfloat16 over float32"
"""What it was measured in; a processor that has no fast bfloat16 measures anew."""


def test_a_first_look_at_the_embedded_model_attacks_neither_base_nor_oracle() -> None:
    model = excise.load("emoji")
    if model.precision != PRECISION:
        pytest.skip(f"was measured in {PRECISION}, and this processor has it in {model.precision}")
    cat = next(one for one in model.known if one.name == "cat")
    judges = judges_for(model, (cat,), None)
    arms = [arm for arm in arms_of(model, None, cat, base=model) if arm.role in SHARED]
    sizes = SIZES["quick"]
    bench = bench_of(arms, cat, judges.first, judges.others, sizes, 0, SILENT, SHIPPED, None, None)
    before = [arm.model.costs for arm in arms]
    battery = fight(bench, FIRST)
    spent = [arm.model.costs - then for arm, then in zip(arms, before, strict=True)]
    assert set(battery.results) == set(sizes.attacks or ())
    assert [one.gradients for one in spent] == [0, 0]
    assert [one.pictures for one in spent] == [0, 0]  # the attacker's are rendered


def test_pictures_that_the_base_draws_are_told_by_what_they_are_drawn_from() -> None:
    """Another machine draws them with other last bits, and finds the same results."""

    def told(concept: Concept, seed: int = 0) -> Any:
        arm = Arm(key="base", label="before", role="base", model=two.model())
        return attacked(
            Bench(arms={"base": arm}, concept=concept, judge=two.Two(), sizes=SIZES["quick"],
                  seed=seed)
        )  # fmt: skip

    drawn, other = told(two.CAT), told(two.CAT, seed=1)
    assert not set(drawn.hashes) & set(map(str, drawn.told.values()))
    assert drawn.told == told(two.CAT).told != other.told
    given = told(replace(two.CAT, pictures=drawn.concept.pictures))
    assert given.told == list(given.hashes)
