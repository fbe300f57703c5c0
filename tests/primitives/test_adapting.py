from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.hooks.negative_prompt import NegativePrompt
from excise.models.load import of_pipeline
from excise.primitives.adapting import adapted, harmless
from excise.primitives.finetune import Tuned
from excise.primitives.parametrise import Full, LowRank
from excise.rng import generator
from excise.types import Concept, Prompt

LATENTS = torch.randn(3, 4, 8, 8, generator=generator("latents"))
PROMPTS = Prompt.of(["a cat", "a dog", "a tree"])


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 2, "guidance": 1.0})


def tuned(model: Any, steps: int = 3, **changes: Any) -> Tuned:
    options = {"selector": "mid", "parametrisation": Full(), "batch": 3, "lr": 1e-3}
    return adapted(model, LATENTS, PROMPTS, steps=steps, **(options | changes))


def test_a_longer_run_begins_as_a_shorter_one(model: Any) -> None:
    long, short = tuned(model, 4), tuned(model, 2)
    assert long.curves["pictures"][:2] == short.curves["pictures"]


def test_without_hooks_and_with_one_that_does_nothing_it_is_the_same_loss(model: Any) -> None:
    """At guidance 1 a negative prompt does not act; only the levels are drawn otherwise."""
    plain = tuned(model, 1, batch=1, parametrisation=LowRank(rank=1))
    with model.hooked((NegativePrompt(text="a dog"),)):
        same = tuned(model, 1, batch=1, parametrisation=LowRank(rank=1))
        other = tuned(model, 1, batch=1, parametrisation=LowRank(rank=1), guidance=3.0)
    assert same.curves["pictures"] == pytest.approx(plain.curves["pictures"], rel=1e-5)
    assert other.curves["pictures"] != pytest.approx(plain.curves["pictures"], rel=1e-4)


def test_a_guarded_batch_costs_one_evaluation_a_row(model: Any) -> None:
    with model.hooked((NegativePrompt(text="a dog"),)):
        before = model.costs
        tuned(model, 2)
        assert (model.costs - before).gradients == 2 * 3


def test_there_is_always_something_harmless(model: Any) -> None:
    cat = Concept("cat", neighbours=("dog",))
    model.known = (cat, Concept("dog"))
    try:
        texts = [prompt.text for prompt in harmless(model, (cat,))]
        model.known = (cat, Concept("dog"), Concept("tree"))
        known = [prompt.text for prompt in harmless(model, (cat,))]
    finally:
        model.known = ()
    assert len(texts) > 5
    assert not any(named in text.split() for text in texts for named in ("cat", "dog"))
    assert len(known) == 1
    assert "tree" in known[0]
