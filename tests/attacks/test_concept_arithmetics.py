from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.attacks.concept_arithmetics import ConceptArithmetics, composed
from excise.errors import BadSetting
from excise.models.load import of_pipeline
from excise.registry import create
from excise.rng import generator
from excise.types import Concept, Prompt, Request, Step

CAT = Concept("cat", neighbours=("dog", "fox"))


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 2, "guidance": 1.0})


def rounds(model: Any, seed: int = 0, **settings: Any) -> list[tuple[Request, ...]]:
    attack = ConceptArithmetics(**settings)
    prompts = Prompt.of(["a photo of a cat", "a red cat"])
    return list(attack.search(model, (CAT,), prompts, seed=seed))


def total(request: Request, direction: dict[str, Tensor]) -> Tensor:
    """sum_i w_i d(c_i), with d of a text the sum of what its words mean."""

    def d(text: str) -> Tensor:
        return sum((direction.get(w, torch.zeros(3)) for w in text.split()), torch.zeros(3))

    assert request.guidance is not None
    found = request.guidance * d(request.prompts[0].text)
    for term in request.terms:
        found = found + term.weight * d(term.prompts[0].text)
    return found


def test_the_identities_hold_where_scenes_add_up() -> None:
    cat, red, dog, fox = (torch.randn(3, generator=generator(n)) for n in "crkl")
    words = {"cat": cat, "red": red, "dog": dog, "fox": fox}
    text, s = "a red cat", 7.5
    carried = composed("carried", CAT, text, ("dog",), s, 1.0)
    torch.testing.assert_close(total(carried, words), s * (red + cat))
    # A model that was trained to go the other way under the name: away from that is back.
    negated = composed("negated", CAT, text, ("dog",), s, 1.0)
    torch.testing.assert_close(total(negated, {**words, "cat": -cat}), s * (red + dog + cat))
    assembled = composed("assembled", CAT, text, ("dog", "fox"), s, 1.0)
    torch.testing.assert_close(total(assembled, words), s * (red + (dog + fox) / 2))
    assert "cat" not in assembled.prompts[0].text + assembled.terms[0].prompts[0].text


def test_the_model_draws_the_weighted_sum(model: Any) -> None:
    """Composable diffusion, eq. 11, from single predictions."""
    x, u = torch.randn(1, 4, 8, 8, generator=generator("x")), 0.7
    null = model.null()
    e0 = model.predict(x, u, null)
    for request, _ in rounds(model, restarts=6):
        cond = model.encode(request.prompts)
        terms = tuple((model.encode(t.prompts), t.weight) for t in request.terms)
        step = Step(u=u, guidance=request.guidance, terms=terms)
        expected = e0 + request.guidance * (model.predict(x, u, cond) - e0)
        for part, weight in terms:
            expected = expected + weight * (model.predict(x, u, part) - e0)
        got = model.denoise(x, step, cond, null)[0]
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def key(request: Request) -> tuple[Any, ...]:
    term = request.terms[0]
    return request.prompts[0].text, request.guidance, term.prompts[0].text, term.weight


def test_every_combination_once_in_an_order_of_the_seed(model: Any) -> None:
    model.known = (CAT, Concept("dog"), Concept("fox"), Concept("tree"))
    try:
        found = [key(r[0]) for r in rounds(model, restarts=999)]
    finally:
        model.known = ()
    others, pairs, scales, strengths = 3, 2, 2, 3
    assert len(found) == (2 * others + pairs) * scales * strengths
    assert len(set(found)) == len(found)
    some = [key(r[0]) for r in rounds(model, restarts=5)]
    assert some == [key(r[0]) for r in rounds(model, restarts=5)]
    assert some != [key(r[0]) for r in rounds(model, seed=1, restarts=5)]
    assert len({len(r) for r in rounds(model, restarts=4)}) == 1


def test_settings() -> None:
    made = create("attack", "concept_arithmetics", {"forms": "negated", "strengths": "1"})
    assert made.forms == ("negated",)
    with pytest.raises(BadSetting, match="forms"):
        ConceptArithmetics(forms=())
