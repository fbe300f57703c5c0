from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import panels

from excise import registry
from excise.errors import BadConcept, BadSetting, MissingJudge
from excise.metrics.base import BASE, EDIT, Metric, mean_interval, prepare
from excise.metrics.diversity import Diversity
from excise.metrics.drift import Drift
from excise.metrics.kept import KeptRate
from excise.store import Cache, canonical

NAMES = (
    "diversity",
    "drift",
    "kept",
    "over_erasure",
    "pairs",
    "plain_use",
    "replacement",
)


@pytest.fixture(scope="module")
def model() -> Any:
    return panels.model()


@pytest.fixture(scope="module")
def judge(model: Any) -> panels.Near:
    return panels.near(model)


def test_metrics_are_found_by_their_files() -> None:
    names = (*NAMES, "clip_score", "fid", "kid", "tradeoff")
    assert set(names) == set(registry.names("metric"))
    for name in names:
        made = registry.create("metric", name, {"pictures": "3"})
        assert isinstance(made, Metric)
        assert made.pictures == 3
        sizes = [made.at(budget).pictures for budget in ("quick", "standard", "thorough")]
        assert sizes == sorted(set(sizes))
        assert type(made)().pictures == sizes[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_gives_json_and_leaves_the_model_as_it_was(
    model: Any, judge: panels.Near, name: str
) -> None:
    before = model.fingerprint()
    edit = panels.renamed(model, "cat", "dog")
    made = registry.create("metric", name, {"pictures": "2"})
    found = made.measure(model, None, panels.CAT, judge=judge, edit=edit)
    assert found
    assert len(canonical(dict(found))) > 20  # nothing in it is not finite
    assert model.fingerprint() == before
    assert model.edits == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_was_handed_over_is_measured_without_a_base(
    model: Any, judge: panels.Near, name: str
) -> None:
    made = registry.create("metric", name, {"pictures": "2"})
    canonical(dict(made.measure(model, None, panels.CAT, judge=judge)))


@pytest.mark.parametrize("name", ["kept", "pairs", "replacement", "plain_use"])
def test_what_needs_a_judge_says_so(model: Any, name: str) -> None:
    with pytest.raises(MissingJudge, match=name):
        registry.create("metric", name).measure(model, None, panels.CAT)


def test_metrics_share_pictures(model: Any, judge: panels.Near) -> None:
    shared = prepare(model, model, panels.CAT, judge=judge)
    KeptRate(pictures=2).answer(shared)
    before = model.costs.pictures
    Diversity(pictures=2).answer(shared)
    assert model.costs.pictures == before
    Drift(pictures=2).answer(shared)
    drawn = model.costs.pictures - before
    assert drawn == 2 * (3 + 32)  # plain use and the empty prompt, on both models


def test_an_edit_that_comes_and_goes_equals_one_that_stays(model: Any, judge: panels.Near) -> None:
    edit = panels.renamed(model, "dog", "cat")
    coming = KeptRate(pictures=2).measure(model, None, panels.CAT, judge=judge, edit=edit)
    other = panels.model(copy.deepcopy(model.pipeline))
    with edit.applied(other):
        staying = KeptRate(pictures=2).measure(other, model, panels.CAT, judge=judge)
    assert coming == staying
    assert coming["mean"] == 0.0


def test_what_was_kept_is_not_drawn_again(model: Any, judge: panels.Near, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    edit = panels.renamed(model, "dog", "cat")

    def measure(by: Any = judge, **arms: Any) -> Any:
        return KeptRate(pictures=2).measure(model, None, panels.CAT, judge=by, cache=cache, **arms)

    first = measure(edit=edit)
    before = model.costs.pictures
    assert measure(edit=edit) == first
    assert model.costs.pictures == before
    measure(edit=panels.renamed(model, "cat", "dog"))  # another edit of the same base
    assert model.costs.pictures == before + 2 * 2
    stranger = panels.Plain()
    measure(by=stranger)  # nothing says which judge this is
    measure(by=stranger)
    assert model.costs.pictures == before + 3 * 2 * 2


def test_no_concept_and_no_budget_are_refused(model: Any) -> None:
    with pytest.raises(BadConcept, match="at least one concept"):
        KeptRate().measure(model, None, ())
    with pytest.raises(BadSetting, match="did you mean 'quick'"):
        KeptRate().at("quik")  # type: ignore[arg-type]


def test_arms() -> None:
    model, oracle = object(), object()
    alone: Any = prepare(model, None, panels.CAT)  # type: ignore[arg-type]
    assert list(alone.arms) == [EDIT]
    both: Any = prepare(model, None, panels.CAT, edit=object(), oracle=oracle)  # type: ignore[arg-type]
    assert list(both.arms) == [EDIT, BASE, "oracle"]
    assert both.arms[BASE].model is both.arms[EDIT].model
    assert both.arms[BASE].edit is None


def test_means_have_intervals_across_clusters() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        centre = rng.normal(size=12)
        values = np.repeat(centre, 5) + 0.1 * rng.normal(size=60)
        hits += 0.0 in mean_interval(values, np.repeat(np.arange(12), 5).tolist())
    assert 0.9 <= hits / 200 <= 0.99
    one = mean_interval(torch.tensor([1.0, 3.0]), ["a", "a"])
    assert (one.value, one.low, one.high) == (2.0, 2.0, 2.0)
