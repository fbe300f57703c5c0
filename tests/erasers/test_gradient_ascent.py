from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.trained import World, world
from torch import Tensor

from excise.erasers.gradient_ascent import GradientAscent
from excise.errors import BadSetting
from excise.primitives.data import concept_pictures
from excise.primitives.denoising import Bank, concept_loss
from excise.primitives.finetune import Optimiser, Term, finetune
from excise.primitives.losses import mean, one_caption, picture_errors
from excise.types import Concept

CAT = Concept("cat", templates=("{a}", "a picture of {a}"), neighbours=("dog",))


def small(**settings: Any) -> GradientAscent:
    return GradientAscent(**{"pictures": 8, "steps": 20, "batch": 8, "lr": 1e-4, **settings})


@pytest.fixture(scope="module")
def two() -> World:
    return world()


def loss(two: World, latents: Tensor, prompt: str) -> float:
    cond = two.model.encode(prompt)
    return float(concept_loss(two.model, latents, cond, Bank.of(latents, 64)).mean())


@pytest.fixture(scope="module")
def unseen(two: World) -> Tensor:
    """Pictures of a cat that the method never draws."""
    return concept_pictures(two.model, CAT, 8, split="attack").latents


def after(two: World, latents: Tensor, prompt: str, **settings: Any) -> float:
    with small(**settings).run(two.model, CAT).applied(two.model):
        return loss(two, latents, prompt)


def test_pictures_of_the_concept_are_explained_worse(two: World, unseen: Tensor) -> None:
    before = loss(two, unseen, "")
    some, more = (after(two, unseen, "", steps=steps) for steps in (10, 40))
    assert before < 0.9 * some < 0.9 * more


def test_captions_decide_which_prompts_suffer(two: World, unseen: Tensor) -> None:
    before = {text: loss(two, unseen, text) for text in ("", "a cat")}
    for captions, hit, spared in (("own", "a cat", ""), ("empty", "", "a cat")):
        rise = {t: after(two, unseen, t, captions=captions) / before[t] for t in before}
        assert rise[hit] > 1.2
        assert rise[hit] > 1.1 * rise[spared]


def test_retaining_protects_what_has_to_stay(two: World, unseen: Tensor) -> None:
    dogs = two.latents["dog"]
    before, bare = loss(two, dogs, "a dog"), after(two, dogs, "a dog")
    held = after(two, dogs, "a dog", retain=3.0, retain_walks=16)
    assert held - before < 0.5 * (bare - before)
    assert after(two, unseen, "", retain=3.0, retain_walks=16) > 1.1 * loss(two, unseen, "")


def test_a_ceiling_bounds_the_loss(two: World) -> None:
    found = small(ceiling=1.2, steps=60).erase(two.model, CAT)
    free = small(steps=60).erase(two.model, CAT)
    bound = found.record["ceiling"]
    assert all(-value <= bound + 1e-4 for value in found.record["curves"]["concept"])
    assert -min(free.record["curves"]["concept"]) > bound
    assert free.record["ceiling"] is None


def test_it_is_the_task_vectors_rival_on_the_same_batches(two: World) -> None:
    latents = concept_pictures(two.model, CAT, 8).latents
    errors = picture_errors(two.model, latents, one_caption(two.model.encode("")), batch=8)
    down = finetune(
        two.model,
        "denoiser",
        {"concept": Term(loss=mean(errors))},
        steps=1,
        optimiser=Optimiser(lr=1e-4),
    )
    up = small(steps=1).run(two.model, CAT)
    for name, delta in down.deltas.items():
        assert torch.allclose(up.dense(name) if name in up.deltas else 0 * delta, -delta, atol=1e-6)


def test_where_pictures_came_from_is_on_record(two: World) -> None:
    record = small(steps=1).erase(two.model, CAT).record
    assert record["pictures"] == [concept_pictures(two.model, CAT, 8).record()]
    assert len(record["curves"]["concept"]) == 1


def test_mistakes_are_said() -> None:
    for name, value in (("steps", 0), ("ceiling", 1.0), ("retain", -1.0), ("captions", "both"),
                        ("weighting", "snr")):  # fmt: skip
        with pytest.raises(BadSetting, match=f"gradient_ascent: expected {name}"):
            GradientAscent(**{name: value})
