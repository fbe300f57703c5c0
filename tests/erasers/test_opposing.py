"""Inputs that follow an edit: how many, where, and what is said under them instead."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests import trained
from tests.erasers.working import work_on
from tests.suite import two

from excise.erasers.opposing import instead, opponents
from excise.erasers.task_vector import TaskVector
from excise.primitives.adversary import Said, as_now
from excise.primitives.finetune import Draw
from excise.types import Concept

SMALL = TaskVector(adversaries=3, against=0.5, lasting=4)
STYLE = Concept("sketch", kind="style")


@pytest.mark.slow
def test_each_concept_has_its_share_of_inputs_and_of_the_weight() -> None:
    model, latents = two.model(), trained.world().latents["cat"]
    alone = opponents(SMALL, work_on(model, two.CAT), [latents], {})
    assert {name: term.weight for name, term in alone.items()} == {"against": 0.5}
    both = opponents(SMALL, work_on(model, two.CAT, two.DOG), [latents, latents], {})
    assert {name: term.weight for name, term in both.items()} == {
        "against 0": 0.25, "against 1": 0.25,
    }  # fmt: skip
    values = [term.memory.tensors()["value/hidden"] for term in both.values() if term.memory]
    assert [len(value) for value in values] == [2, 2]
    assert not torch.equal(*values)
    assert opponents(replace(SMALL, adversaries=0), work_on(model, two.CAT), [latents], {}) == {}


@pytest.mark.slow
def test_for_a_style_soft_tokens_follow_and_for_an_object_conditionings() -> None:
    model, latents = two.model(), trained.world().latents["cat"]
    for concept, wide in ((two.CAT, True), (STYLE, False)):
        (term,) = opponents(SMALL, work_on(model, concept), [latents], {}).values()
        assert term.memory is not None
        assert ("value/hidden" in term.memory.tensors()) == wide


@pytest.mark.slow
def test_other_things_are_said_but_of_what_their_prompts_bring_out_as_well() -> None:
    model = two.model()
    work, name = work_on(model, two.CAT), next(iter(model.parameters("denoiser")))
    hard = {name: torch.ones_like(model.parameters("*")[name])}
    x, u = torch.zeros(4, *model.latent_shape), torch.full((4,), 0.5)
    cat = model.encode("a cat").expand(4)
    base, moved = as_now(model, {}), as_now(model, hard)

    def wanted(method: TaskVector, concept: Concept, said: Said) -> torch.Tensor:
        numbers = Draw(seed=0, term="against", step=0).generator
        return instead(method, work, concept, said)(x, u, cat, numbers)

    with torch.no_grad():
        asked = model.predict(x, u, cat)
        dog = model.predict(x[:1], u[:1], model.encode("a photo of a dog"))
        with model.swapped(hard):
            ruined = model.predict(x, u, cat)
    named = wanted(replace(SMALL, beyond=0.0), two.CAT, base)
    assert float((named - dog).square().mean()) < float((named - asked).square().mean())
    further = wanted(replace(SMALL, beyond=0.5), two.CAT, base)
    assert float((further - asked).norm()) > 1.2 * float((named - asked).norm())
    hidden = wanted(SMALL, replace(two.CAT, kind="implicit"), moved)
    assert torch.allclose(hidden, ruined, atol=1e-5)
