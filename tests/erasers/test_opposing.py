"""Inputs that follow an edit: how many, where, and what is said under them instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from tests import trained
from tests.erasers.working import work_on
from tests.suite import two

from excise.erasers import opposing
from excise.erasers.opposing import instead, opponents
from excise.erasers.task_vector import TaskVector
from excise.primitives.adversary import Said, as_now
from excise.primitives.finetune import Draw
from excise.types import Concept, TextToImage

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
    said = _Said(model)
    with torch.no_grad():
        asked = model.predict(said.x, said.u, said.cat)
        dog = model.predict(said.x[:1], said.u[:1], model.encode("a photo of a dog"))
    alone = replace(SMALL, details=0.0)
    named = said.wanted(replace(alone, beyond=0.0), two.CAT)
    assert float((named - dog).square().mean()) < float((named - asked).square().mean())
    further = said.wanted(replace(alone, beyond=0.5), two.CAT)
    assert float((further - asked).norm()) > 1.2 * float((named - asked).norm())
    hidden = said.wanted(alone, replace(two.CAT, kind="implicit"))
    assert torch.allclose(hidden, said.ruined(), atol=1e-5)


@pytest.mark.slow
def test_where_the_picture_can_be_seen_the_hard_edit_has_its_say() -> None:
    said = _Said(two.model())
    ruined, low = said.ruined(), said.u < 0.5
    assert low.tolist() == [True, True, False, False]
    found = said.wanted(replace(SMALL, details=0.5), two.CAT)
    assert torch.allclose(found[low], ruined[low], atol=1e-5)
    assert not torch.allclose(found[~low], ruined[~low], atol=1e-2)
    everywhere = said.wanted(replace(SMALL, details=1.0), two.CAT)
    assert torch.allclose(everywhere, ruined, atol=1e-5)
    nowhere = said.wanted(replace(SMALL, details=0.0), two.CAT)
    assert not torch.allclose(nowhere[low], ruined[low], atol=1e-2)


@pytest.mark.slow
def test_a_model_that_has_no_say_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []

    def noted(model: TextToImage, deltas: Mapping[str, torch.Tensor], *rest: Any) -> Said:
        made.append(bool(deltas))
        return as_now(model, deltas, *rest)

    monkeypatch.setattr(opposing, "as_now", noted)
    model, latents = two.model(), trained.world().latents["cat"]
    hard = _Said(model).hard
    for details, copies in ((0.0, [False]), (0.5, [False, True]), (1.0, [True])):
        made.clear()
        concepts = work_on(model, two.CAT, two.DOG)
        opponents(replace(SMALL, details=details), concepts, [latents, latents], hard)
        assert made == copies


class _Said:
    """What is wanted at four levels of noise, of a model and of a ruin of it."""

    def __init__(self, model: TextToImage) -> None:
        self.work = work_on(model, two.CAT)
        name = next(iter(model.parameters("denoiser")))
        self.hard = {name: torch.ones_like(model.parameters("*")[name])}
        self.u = torch.tensor([0.2, 0.4, 0.5, 0.9])
        self.x = torch.zeros(4, *model.latent_shape)
        self.cat = model.encode("a cat").expand(4)

    def wanted(self, method: TaskVector, concept: Concept) -> torch.Tensor:
        model = self.work.model
        base, ruined = (partial(as_now, model, deltas) for deltas in ({}, self.hard))
        wanted = instead(method, self.work, concept, base, ruined)
        numbers = Draw(seed=0, term="against", step=0).generator
        return wanted(self.x, self.u, self.cat, numbers)

    def ruined(self) -> torch.Tensor:
        model = self.work.model
        with torch.no_grad(), model.swapped(self.hard):
            return model.predict(self.x, self.u, self.cat)
