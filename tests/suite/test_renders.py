"""Who attacks and who measures has pictures that no model has drawn, where a world has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from tests import plugins
from tests.suite import two
from tests.suite.checks.staged import empty, evidence, names
from tests.suite.test_evaluate import SMALL
from torch import Tensor

from excise.erasers.base import Work
from excise.errors import UnknownName
from excise.progress import SILENT
from excise.rng import generator
from excise.suite.arms import Arm
from excise.suite.bench import Bench
from excise.suite.checks import Sets
from excise.suite.checks.sets import pictures_drawn_by_base
from excise.suite.held_out import held_out
from excise.suite.ladder import attacked
from excise.suite.plan import plan
from excise.suite.renders import drawn_by_base, renders
from excise.types import Concept, digest


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A world in which a cat is noise."""

    name: ClassVar[str] = "noise"

    def knows(self, concept: Concept) -> bool:
        return concept.name == "cat"

    def pictures(self, concept: Concept, n: int, *, seed: int) -> Tensor:
        size = two.model().picture_size
        rows = torch.randint(0, 256, (n, 3, *size), generator=generator(concept.name, seed))
        return rows.to(torch.uint8)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tiny model, which says that it is of that world of another package's."""

    plugins.install(monkeypatch, "excise.worlds", noise=f"{__name__}:Noise")
    model = two.model().copied()
    model.notes = {"world": "noise"}
    return model


def bench(model: Any, concept: Concept = two.CAT, seed: int = 0) -> Bench:
    arm = Arm(key="base", label="before", role="base", model=model)
    sizes = replace(SMALL, attacker=6, held_out=4)
    return Bench(arms={"base": arm}, concept=concept, judge=two.Two(), sizes=sizes, seed=seed)


def test_the_attacker_and_the_losses_have_renders_that_they_do_not_share(world: Any) -> None:
    own, before = bench(world), world.costs
    armed, held = attacked(own), held_out(own)
    assert (world.costs - before).pictures == 0  # nothing was drawn
    assert (len(armed.hashes), len(held.hashes)) == (6, 4)
    assert not {*armed.hashes} & {*held.hashes}
    assert armed.concept.pictures is not None
    assert tuple(map(digest, armed.concept.pictures)) == armed.hashes
    again = renders(own, "held out", 4)
    assert again is not None
    assert held.hashes == again.hashes
    with torch.no_grad():
        first = world.encode_pictures(again.pictures[:1])
    assert torch.allclose(held.latents[:1], first, atol=1e-5)


def test_an_eraser_is_not_given_them(world: Any) -> None:
    own = bench(world)
    work = Work(model=world, concepts=(own.full,), seed=0, judge=None, progress=SILENT)
    assert own.full.pictures is None
    made = {name for one in work.pictures(4, "tau") for name in one.hashes}
    assert not made & {*attacked(own).hashes, *held_out(own).hashes}


def test_they_are_told_by_what_they_are_rendered_from(world: Any) -> None:
    told = attacked(bench(world)).told
    assert told == attacked(bench(world)).told
    assert told != attacked(bench(world, seed=1)).told
    assert not {*map(str, attacked(bench(world)).hashes)} & {*map(str, told.values())}  # type: ignore[union-attr]


def test_given_pictures_and_what_the_world_lacks_stay_as_they_were(world: Any) -> None:
    pictures = torch.rand(12, 3, *world.picture_size, generator=generator("own"))
    given = bench(world, replace(two.CAT, pictures=pictures))
    assert renders(given, "attacker", 2) is None
    assert not drawn_by_base(given)
    assert drawn_by_base(bench(world, two.DOG))
    before = world.costs
    attacked(bench(world, two.DOG))
    assert (world.costs - before).pictures == 6
    world.notes = {"world": "nowhere"}
    with pytest.raises(UnknownName, match="nowhere"):
        attacked(bench(world))


def test_where_the_base_drew_them_it_is_said(world: Any) -> None:
    sets = Sets(attacker=("a",), held_out=("b",))
    for concept, said in ((two.CAT, []), (two.DOG, ["pictures_drawn_by_base"])):
        seen = evidence(bench(world, concept), empty(), sets=sets)
        assert names(pictures_drawn_by_base(seen)) == said
    unmeasured = evidence(bench(world, two.DOG), empty())
    assert names(pictures_drawn_by_base(unmeasured)) == []


def test_a_plan_counts_no_pictures_that_are_rendered(world: Any) -> None:
    arm = Arm(key="base", label="before", role="base", model=world)
    edit = replace(arm, key="edit", role="edit")
    counts = {}
    for name in ("noise", None):
        world.notes = {} if name is None else {"world": name}
        made = plan([arm, edit], two.CAT, two.Two(), budget=SMALL)
        counts[name] = sum(line.pictures for line in made.lines)
    assert counts[None] - counts["noise"] == SMALL.attacker + SMALL.held_out
