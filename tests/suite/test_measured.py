"""A metric of somebody's own, defined in one file, has a row in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from tests import plugins
from tests.suite import two
from tests.suite.test_bench import Seeing
from tests.suite.test_evaluate import SMALL, arms

from excise.errors import Unsupported
from excise.metrics.base import Metric, Work
from excise.metrics.tradeoff import TradeOff
from excise.primitives.clip import CLIP, FEATURES
from excise.primitives.vision import Given
from excise.suite import facts, measured
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.measured import METRICS, pictures_of, registered
from excise.suite.plain import kept_section
from excise.suite.plan import plan


@dataclass(frozen=True, kw_only=True)
class Light(Metric):
    """How light everything else is.

    More about it.
    """

    name: ClassVar[str] = "light"
    label: ClassVar[str] = "lightness"
    want: ClassVar = "high"

    def answer(self, work: Work) -> Mapping[str, Any]:
        looks = work.every(self.kept_probe(work))
        return {arm: float(look.thumbs.float().mean()) / 255 for arm, look in looks.items()}


@dataclass(frozen=True, kw_only=True)
class Broken(Light):
    """Never works."""

    name: ClassVar[str] = "broken"
    label: ClassVar[str] = "brokenness"

    def answer(self, work: Work) -> Mapping[str, Any]:
        raise Unsupported("expected a better model, got this one; take another")


@pytest.fixture(autouse=True)
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are of another package."""
    own = {"light": f"{__name__}:Light", "broken": f"{__name__}:Broken"}
    plugins.install(monkeypatch, "excise.metrics", **own)


def bench(**changes: Any) -> Bench:
    fields: dict[str, Any] = {"judge": Seeing(), "sizes": replace(SMALL, cascade=True)}
    own = {arm.key: arm for arm in arms()}
    return Bench(arms=own, concept=two.CAT, **{**fields, **changes})


def test_a_registered_metric_is_measured_on_what_was_drawn_anyway() -> None:
    own, book = bench(), Book()
    found = kept_section(own, book)
    assert found is not None
    drawn = two.model().costs.pictures
    again = registered(own, book)  # nothing is left to draw
    assert two.model().costs.pictures == drawn
    (row,) = [one for one in found.measures if one.name == "light"]
    assert row in again
    assert (row.label, row.want) == ("lightness", "high")
    assert row.note == "How light everything else is."
    assert set(row.values) == {"base", "edit", "oracle"}
    (look,) = [look for (arm, _), look in own.looks.items() if arm == "edit"]
    want = float(look.thumbs.float().mean()) / 255
    assert row.values["edit"].value == pytest.approx(want)
    names = [one.name for one in found.measures]
    assert len(names) == len(set(names))
    assert not any(section == METRICS for section, _ in own.spent)


def test_what_could_not_be_measured_is_said() -> None:
    own = bench()
    assert "broken" not in {one.name for one in registered(own, Book())}
    assert own.unmeasured == {"brokenness": "expected a better model, got this one; take another"}
    assert any("brokenness" in line for line in facts.notes(own, SimpleNamespace()))  # type: ignore[arg-type]


def test_one_number_of_both_stands_beside_the_table_but_in_a_first_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "tradeoff" not in {one.name for one in registered(bench(), Book())}
    monkeypatch.setattr(TradeOff, "at", lambda *_: TradeOff(pictures=1, strengths=(0.01, 1.0)))
    own = bench(sizes=replace(SMALL, kept=2))
    assert "tradeoff" not in {one.name for one in registered(own, Book())}  # nobody asked for it
    monkeypatch.setattr(measured, "SIZES", {own.sizes.name: own.sizes})
    (row,) = [one for one in registered(own, Book()) if one.name == "tradeoff"]
    assert set(row.values) == {"edit", "oracle"}  # here both are made by the edit
    assert 0 <= row.values["edit"].value <= 1
    assert row.values["edit"] == row.values["oracle"]
    assert "points of excess" in row.note
    assert two.model().edits == ()
    # What an estimate says is what is drawn where the evaluation's own pictures are there.
    before = two.model().costs.pictures
    registered(own, Book())
    assert two.model().costs.pictures - before == 2 * pictures_of(own) > 0
    for arm in ("edit", "oracle"):
        assert own.spent[METRICS, arm].pictures >= 2 * pictures_of(own)  # of both times
    assert pictures_of(bench()) == 0
    made = plan(arms(), two.CAT, Seeing(), budget=own.sizes)
    assert {line.arm: line.pictures for line in made.lines if line.stage == "metrics"} == {
        "edit": pictures_of(own), "oracle": pictures_of(own),
    }  # fmt: skip


def test_features_that_are_given_are_what_sets_of_pictures_are_held_together_by() -> None:
    def eyes(pictures: torch.Tensor) -> torch.Tensor:
        return pictures.float().std(dim=(2, 3))

    own = bench(judge=two.Two(), features=eyes)
    assert isinstance(own.extractors[FEATURES], Given)
    found = kept_section(own, Book())
    assert found is not None
    (kid,) = [one for one in found.measures if one.name == "kid"]
    assert "a given function sees them" in kid.note
    (look,) = [look for (arm, _), look in own.looks.items() if arm == "edit"]
    assert look.features[FEATURES].shape == (len(look), 3)
    bare = kept_section(bench(judge=two.Two()), Book())
    assert bare is not None
    assert "kid" not in {one.name for one in bare.measures}


def test_a_clip_that_is_named_scores() -> None:
    class Scorer:
        digest = "scorer"

    named: Any = Scorer()
    assert bench(clip=named).extractors[CLIP] is named
