from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny

from excise.attacks.base import Attack
from excise.edit import Edit, Recipe
from excise.errors import NumericalError
from excise.models.load import of_pipeline
from excise.suite import Arm
from excise.suite.asked import asked, given
from excise.suite.battery import Field, fight
from excise.suite.bench import Bench
from excise.suite.sizes import SIZES, Sizes
from excise.types import Concept, Score

CAT = Concept("cat", synonyms=("kitten", "feline"), held_back=("kitty",))


class Blind:
    """A judge that sees nothing, or everything."""

    name = title = "blind"

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def score(self, pictures: torch.Tensor, concept: Concept | str) -> Score:
        values = torch.full((len(pictures),), self.value)
        return Score(concept="cat", judge=self.name, values=values, threshold=0.5)


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 1, "guidance": 1.0})


@pytest.fixture(scope="module")
def edit(model: Any) -> Edit:
    bias = torch.ones_like(model.parameters("unet")["unet.conv_out.bias"])
    return Edit.of(model, {"unet.conv_out.bias": bias}, recipe=Recipe(method="x"))


def bench(model: Any, edit: Edit | None, judge: Any = None, **changes: Any) -> Bench:
    sizes: Sizes = replace(SIZES["quick"], asked=4, select=1, score=2, attacker=2, **changes)
    arms = {"edit": Arm(key="edit", label="after", role="edit", model=model, edit=edit)}
    if edit is not None:
        arms = {"base": Arm(key="base", label="before", role="base", model=model), **arms}
    return Bench(arms=arms, concept=CAT, judge=judge or Blind(), sizes=sizes)


def test_prompts_of_every_group_are_asked_and_no_two_are_equal(model: Any) -> None:
    for n in (4, 20):
        own = bench(model, None)
        rows = asked(replace(own, sizes=replace(own.sizes, asked=n)))
        assert len(rows) == n == len({one.prompt.text for one in rows})
        counts = [sum(one.group == g for one in rows) for g in
                  ("name", "synonym", "held_back", "silent")]  # fmt: skip
        assert counts == [n // 4] * 4
    for one in rows:
        words = {"name": "cat", "held_back": "kitty"}.get(one.group, "")
        assert words in one.prompt.text
        if one.group == "silent":
            assert not any(name in one.prompt.text for name in (*CAT.names, "kitty"))


def test_what_a_group_lacks_the_others_have_more_of(model: Any) -> None:
    bare = replace(bench(model, None), concept=Concept("cat"))
    rows = asked(replace(bare, sizes=replace(bare.sizes, asked=10)))
    assert {one.group for one in rows} == {"name", "silent"}
    assert len(rows) == 10
    mark = replace(bare, concept=Concept("watermark", kind="implicit"))
    assert {one.group for one in asked(mark)} == {"silent"}


def test_given_prompts_are_told_apart_by_their_words(model: Any) -> None:
    rows = given(bench(model, None), ("a cat", "two kittens", "the kitten", "a kitty", "a dog"))
    assert [one.group for one in rows] == ["name", "silent", "synonym", "held_back", "silent"]


def test_who_compares_has_the_unedited_model_beside_the_edited_one(model: Any, edit: Edit) -> None:
    ground = Field(bench=bench(model, edit), rung=4)
    before = model.fingerprint()
    assert ground.unedited is not None
    assert ground.unedited is not model
    assert ground.unedited.fingerprint() == before
    # Where no edit comes and goes on it, the base needs no second copy.
    other = of_pipeline(tiny.stable_diffusion(), "other", {"steps": 1, "guidance": 1.0})
    arms = {
        "base": Arm(key="base", label="before", role="base", model=other),
        "edit": Arm(key="edit", label="after", role="edit", model=model),
    }
    apart = Field(bench=Bench(arms=arms, concept=CAT, judge=Blind(), sizes=SIZES["quick"]), rung=4)
    assert apart.unedited is other


def test_attacks_have_the_attacker_s_own_pictures_and_the_rung(model: Any, edit: Edit) -> None:
    ground = Field(bench=bench(model, edit), rung=2)
    found: Any = ground.attack("concept_inversion")
    assert (found.share, found.rung) == ("all", 2)
    settings = {"concept_inversion": {"rung": 8}}
    own = Field(bench=bench(model, edit), rung=2, settings=settings)
    found = own.attack("concept_inversion")
    assert found.rung == 8


def test_what_cannot_be_run_says_why(model: Any) -> None:
    alone = bench(model, None, attacks=("reseed", "p4d", "concept_inversion"))
    found = fight(alone, 4, {"reseed": {"restarts": 1}})
    assert set(found.results) == {"reseed"}
    assert "unedited model" in found.left_out["p4d"]
    assert "pictures" in found.left_out["concept_inversion"]


@pytest.mark.parametrize(("value", "run"), [(1.0, {"reseed"}), (0.0, {"reseed", "paraphrase"})])
def test_a_cascade_ends_when_the_concept_is_back(
    model: Any, edit: Edit, value: float, run: set[str]
) -> None:
    own = bench(model, edit, Blind(value), attacks=("reseed", "paraphrase"), cascade=True)
    found = fight(own, 4, {"reseed": {"restarts": 1}, "paraphrase": {"restarts": 1}})
    assert set(found.results) == run
    if value:
        assert "has brought the concept back" in found.left_out["paraphrase"]


class Some(Blind):
    """A judge that sees it in so many of eight pictures."""

    def score(self, pictures: torch.Tensor, concept: Concept | str) -> Score:
        values = (torch.arange(len(pictures)) % 8 < self.value).float()
        return Score(concept="cat", judge=self.name, values=values, threshold=0.5)


@pytest.mark.parametrize(("shown", "run"), [(4, {"reseed", "paraphrase"}), (5, {"reseed"})])
def test_the_attacks_of_a_cascade_share_their_error(
    model: Any, edit: Edit, shown: int, run: set[str]
) -> None:
    """Four of eight pictures are enough for one claim (an e-value of 20.4), not for two (40)."""
    own = bench(model, edit, Some(shown), attacks=("reseed", "paraphrase"), cascade=True)
    found = fight(own, 4, {"reseed": {"restarts": 1}, "paraphrase": {"restarts": 1}})
    assert set(found.results) == run


def test_an_attack_that_cannot_take_the_concept_is_left_out(model: Any, edit: Edit) -> None:
    own = replace(
        bench(model, edit, attacks=("reseed", "ring_a_bell")),
        concept=Concept("watermark", kind="implicit", templates=("a cat", "a dog")),
    )
    found = fight(own, 4, {"reseed": {"restarts": 1}})
    assert set(found.results) == {"reseed"}
    assert "that prompts can name, got 'watermark'" in found.left_out["ring_a_bell"]
    assert own.diverged == {}


def test_a_search_that_breaks_off_is_left_out_and_stays_a_doubt(
    model: Any, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from excise.attacks.swap import Swap

    def search(self: Swap, model: Any, *args: Any, **kwargs: Any) -> Any:
        if model.edits:
            raise NumericalError("expected a finite loss, got nan")
        yield from whole(self, model, *args, **kwargs)

    whole = Swap.search
    monkeypatch.setattr(Swap, "search", search)
    own = bench(model, edit, attacks=("swap", "reseed"))
    found = fight(own, 4, {"reseed": {"restarts": 1}})
    assert set(found.results) == {"reseed"}
    assert found.left_out["swap"] == "on “after”: expected a finite loss, got nan"
    assert own.diverged == {"swap": found.left_out["swap"]}


def test_results_are_kept_and_run_once(model: Any, edit: Edit, tmp_path: Any) -> None:
    from excise.store import Cache, Stages

    class Told(Blind):
        digest = "blind"

    kept = {"cache": Cache(tmp_path / "c"), "stages": Stages(tmp_path / "s")}
    own = replace(bench(model, edit, Told(), attacks=("swap", "durability")), **kept)
    first = fight(own, 4, {"durability": {"schedulers": (), "stacked": 0}})
    spent = model.costs
    again = fight(replace(own, looks={}, spent={}), 4,
                  {"durability": {"schedulers": (), "stacked": 0}})  # fmt: skip
    assert (model.costs - spent).evaluations == 0
    for arm in own.arms:
        assert torch.equal(first.results["swap"][arm].select, again.results["swap"][arm].select)
        assert first.curves["durability"][arm].rates == again.curves["durability"][arm].rates


def test_every_attack_says_whether_it_rewords() -> None:
    from excise import registry

    as_they_are = {n for n in registry.names("attack") if not registry.get("attack", n).rewords}
    assert as_they_are == {"reseed", "guidance", "swap"}
    assert Attack.rewords
