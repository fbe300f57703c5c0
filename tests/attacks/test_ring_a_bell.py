from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.attacks.ring_a_bell import RingABell
from excise.errors import BadConcept, BadSetting
from excise.models.load import of_pipeline
from excise.primitives.vocabulary import Vectors
from excise.types import Concept, Prompt

CAT = Concept("cat", synonyms=("x",), templates=("a photo of {a}", "{} in red"))
SMALL = RingABell(length=3, restarts=2, population=24, generations=12)


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def test_the_vector_is_the_mean_difference(model: Any) -> None:
    def mean(*pairs: tuple[str, str]) -> Tensor:
        rows = [model.encode(a).hidden[0] - model.encode(b).hidden[0] for a, b in pairs]
        return torch.stack(rows).mean(0)

    named = (("a photo of a cat", "a photo of"), ("cat in red", "in red"))
    others = (("a photo of a x", "a photo of"), ("x in red", "in red"))
    close = {"atol": 1e-5, "rtol": 1e-4}
    found = SMALL.direction(model, CAT)
    torch.testing.assert_close(found, mean(*named, *others), **close)
    bare = SMALL.direction(model, replace(CAT, synonyms=()))
    torch.testing.assert_close(bare, mean(*named), **close)
    anchored = SMALL.direction(model, replace(CAT, synonyms=(), anchor="dog"))
    instead = (("a photo of a cat", "a photo of a dog"), ("cat in red", "dog in red"))
    torch.testing.assert_close(anchored, mean(*instead), **close)
    with pytest.raises(BadConcept, match="name"):
        SMALL.direction(model, Concept("mark", kind="implicit", templates=("a tree",)))


def test_a_generation_is_never_worse_than_the_one_before(model: Any) -> None:
    vectors = Vectors.of(model)
    aim = model.encode(["a cat", "the tree"]).hidden + 3 * SMALL.direction(model, CAT)
    for mutation in (0.25, 1.0):
        best, curve = replace(SMALL, mutation=mutation).evolved(model, vectors, aim, seed=3)
        assert curve.shape == (4, 12)
        assert (curve[:, 1:] <= curve[:, :-1] * (1 + 1e-5)).all()
        assert (curve[:, -1] < curve[:, 0]).all()
        # What is handed over is what the last and least distance was measured on.
        texts = [vectors.lexicon.text(words) for words in best]
        apart = model.encode(texts).hidden - aim.repeat_interleave(2, dim=0)
        torch.testing.assert_close(apart.square().sum(dim=(1, 2)), curve[:, -1], rtol=1e-3, atol=0)


def test_of_one_word_it_finds_the_best_there_is(model: Any) -> None:
    vectors = Vectors.of(model)
    aim = model.encode(["a photo", "the dog"]).hidden + 2 * SMALL.direction(model, CAT)
    one = replace(SMALL, length=1, population=100, generations=8, restarts=1)
    _, curve = one.evolved(model, vectors, aim)
    everything = model.encode(list(vectors.lexicon.words)).hidden  # (W, L, d)
    least = [(everything - one).square().sum(dim=(1, 2)).min() for one in aim]
    torch.testing.assert_close(curve[:, -1], torch.stack(least), rtol=1e-4, atol=0)


def test_it_looks_at_encoders_alone(model: Any) -> None:
    before = model.costs
    prompts = Prompt.of(["a photo", "the dog"])
    found = list(SMALL.search(model, (CAT,), prompts))
    assert (model.costs - before).evaluations == 0
    name = "unet.conv_out.bias"
    shift = {name: torch.ones_like(model.parameters(name)[name])}
    with model.swapped(shift):
        again = list(SMALL.search(model, (CAT,), prompts))
    assert [[r.prompts for r in many] for many in found] == [
        [r.prompts for r in many] for many in again
    ]
    assert len(found) == 2
    assert all(len(one.prompts[0].text.split()) == 3 for many in found for one in many)
    assert found[0][0].prompts != found[1][0].prompts


def test_a_row_does_not_depend_on_its_neighbours(model: Any) -> None:
    vectors = Vectors.of(model)
    aim = model.encode(["a cat", "the tree"]).hidden
    few = replace(SMALL, restarts=1, generations=4)
    alone = few.evolved(model, vectors, aim[:1])[0]
    together = replace(few, batch=5).evolved(model, vectors, aim)[0]
    assert alone[0] == together[0]


def test_bad_values_are_refused() -> None:
    for bad in ({"population": 3}, {"generations": 0}, {"restarts": 0}, {"length": 0},
                {"mutation": 1.5}, {"crossover": -0.1}):  # fmt: skip
        with pytest.raises(BadSetting):
            RingABell(**bad)  # type: ignore[arg-type]
