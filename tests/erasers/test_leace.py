from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.erasers.leace import LEACE, PROBE, reading_both_ways
from excise.errors import BadConcept
from excise.hooks.places import Place, places
from excise.models.load import of_pipeline
from excise.primitives.prompts import kept_concepts
from excise.types import Concept

TEMPLATES = ("{a}", "a photo of {a}", "a picture of {a} in the tree", "the red {}")
CAT = Concept("cat", synonyms=("x",), templates=TEMPLATES)
DOG = Concept("dog", templates=TEMPLATES)
T5 = "text_encoder_3"
OTHERS = ("horse", "bird", "car", "boat", "airplane", "house")


@pytest.fixture(scope="module", params=["sd1", "sdxl", "sd3"])
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


@torch.no_grad()
def states(model: Any, names: tuple[str, ...], edited: bool) -> Tensor:
    """Every token state from the name on, in the first rows, (n, d)."""
    encoder = next(iter(model.encoders))
    found = []
    for name in names:
        for prompt in CAT.prompts((name,)):
            cond = model.conditions([prompt])[0] if edited else model.encode(prompt)
            tokens = cond.tokens[encoder]
            place = tokens.find(0, name)
            assert place is not None
            found.append(cond.hidden[0, place[0] : tokens.ids.shape[1]])
    return torch.cat(found).double()


def predictable(a: Tensor, b: Tensor) -> float:
    """R^2 of the best linear probe that tells the two apart, on these very states."""
    x = torch.cat([a, b])
    x = x[:, x.std(0) > 0]
    z = torch.cat([torch.ones(len(a)), torch.zeros(len(b))]).double()
    x, z = x - x.mean(0), z - z.mean()
    left = torch.linalg.lstsq(x, z[:, None], rcond=1e-5, driver="gelsd").solution
    return 1 - float((z - (x @ left)[:, 0]).square().sum() / z.square().sum())


def test_a_linear_probe_learns_something_before_and_nothing_after(model: Any) -> None:
    edit = LEACE(others=6).run(model, CAT)
    groups = CAT.names, ("dog", *OTHERS)[:6]
    assert (
        groups[1] == tuple(c.name for c in kept_concepts(model, (CAT,)) if c.kind == "object")[:6]
    )
    before = [states(model, names, edited=False) for names in groups]
    with edit.applied(model):
        after = [states(model, names, edited=True) for names in groups]
    assert predictable(*before) > 0.1
    assert predictable(*after) < 1e-3


@torch.no_grad()
def at(model: Any, place: Place, names: tuple[str, ...], edited: bool) -> Tensor:
    """Every state at a place, of every prompt with one of the names, (n, d)."""
    prompts = CAT.prompts(names)
    cond = model.conditions(prompts)[0] if edited else model.encode(prompts)
    return place.take(cond.tensors[place.feature]).flatten(0, -2).double()


def test_an_encoder_that_reads_both_ways_is_told_from_one_that_does_not(model: Any) -> None:
    found = reading_both_ways(model)
    t5 = {place for place, encoder in places(model).items() if encoder == T5}
    assert found == t5
    assert bool(found) == (model.family == "sd3")


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_nothing_is_left_in_pooled_states_nor_before_the_name_where_it_is_known(
    family: str,
) -> None:
    model = of_pipeline(tiny.FAMILIES[family](), family)
    edit = LEACE(others=6).run(model, CAT)
    groups = CAT.names, ("dog", *OTHERS)[:6]
    for place, encoder in places(model).items():
        if place.rows is not None and encoder != T5:
            continue
        before = [at(model, place, names, edited=False) for names in groups]
        with edit.applied(model):
            after = [at(model, place, names, edited=True) for names in groups]
        assert predictable(*before) > 0.01, place
        assert predictable(*after) < 1e-3, place


def test_several_concepts_have_a_direction_each(model: Any) -> None:
    one, two = (LEACE(others=4).erase(model, c) for c in ((CAT,), (CAT, DOG)))
    assert set(one.record["ranks"].values()) == {1}
    assert set(two.record["ranks"].values()) == {2}
    (hook,) = two.edit.hooks
    assert all(value.dtype == torch.float32 for value in hook.mean.values())  # type: ignore[attr-defined]


def test_the_prompts_are_the_same_but_for_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = of_pipeline(tiny.stable_diffusion(), "tiny")
    texts: list[str] = []
    encode = type(model).encode
    monkeypatch.setattr(
        type(model), "encode", lambda m, p: (texts.extend(q.text for q in p), encode(m, p))[1]
    )
    LEACE(others=2).run(model, Concept("cat", templates=("{a}", "the red {}")))
    assert texts[len(PROBE) :] == [
        "a cat",
        "the red cat",
        "a dog",
        "the red dog",
        "a horse",
        "the red horse",
    ]


def test_what_no_prompt_names_is_refused(model: Any) -> None:
    with pytest.raises(BadConcept, match="implicit"):
        LEACE().run(model, Concept("watermark", kind="implicit"))


def test_a_concept_without_anything_else_of_its_kind_is_refused() -> None:
    model = of_pipeline(tiny.stable_diffusion(), "tiny")
    model.known = (Concept("cat"),)
    with pytest.raises(BadConcept, match="other things"):
        LEACE().run(model, Concept("cat"))
