from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from tests.trained import World, world

from excise.erasers.few_shot import FewShot
from excise.errors import BadSetting, Unsupported
from excise.models.load import of_pipeline
from excise.primitives.denoising import Bank, concept_loss
from excise.types import Concept

CAT = Concept("cat", templates=("{a}", "a picture of {a}"))


@pytest.fixture(scope="module")
def two() -> World:
    return world()


def loss(two: World, thing: str, prompt: str) -> float:
    latents = two.latents[thing]
    bank = Bank.of(latents, 64, between=(0.7, 1.0))
    return float(concept_loss(two.model, latents, two.model.encode(prompt), bank).mean())


def test_only_the_papers_layers_of_the_text_encoder_move(two: World) -> None:
    edit = FewShot(steps=2).run(two.model, CAT)
    every = {n for n in two.model.parameters("text_encoder") if ".mlp.fc" in n}
    last = {n for n in two.model.parameters("text_encoder") if ".layers.1.self_attn." in n}
    assert len(every) == 2 * 4
    assert len(last) == 4 * 2
    assert set(edit.deltas) <= every | last
    # All of them but the key's bias, which the softmax over keys cancels but for rounding.
    assert {n for n in every | last if not n.endswith("k_proj.bias")} <= set(edit.deltas)


def test_the_concepts_pictures_are_explained_worse_under_its_prompts(two: World) -> None:
    before = {prompt: loss(two, "cat", prompt) for prompt in ("a cat", "a picture of a cat")}
    losses = []
    for steps in (5, 30):
        with FewShot(steps=steps, lr=1e-3, batch=4).run(two.model, CAT).applied(two.model):
            losses.append({prompt: loss(two, "cat", prompt) for prompt in before})
    for prompt, value in before.items():
        assert value < losses[0][prompt] < losses[1][prompt]
        assert losses[1][prompt] > 1.15 * value  # descending as far moves it by 4 %
    assert loss(two, "cat", "a cat") == before["a cat"]


def test_a_concepts_own_pictures_are_used(two: World) -> None:
    own = Concept("cat", templates=("{a}",), pictures=torch.rand(20, 3, 16, 16))
    found = FewShot(steps=1).erase(two.model, own).record
    record = found["pictures"]
    assert all(value < 0 for value in found["curves"]["concept"])  # a loss, turned round
    assert record[0]["seeds"] == []
    assert len(record[0]["hashes"]) == 4


def test_every_encoder_of_sdxl_moves_and_other_kinds_are_refused() -> None:
    model = of_pipeline(tiny.sdxl(), "sdxl")
    names = set(FewShot(steps=1, pictures=2).run(model, CAT).deltas)
    assert {name.split(".")[0] for name in names} == {"text_encoder", "text_encoder_2"}
    with pytest.raises(Unsupported, match="needs text encoders that are all CLIP's"):
        FewShot(steps=1, pictures=2).run(of_pipeline(tiny.sd3(), "sd3"), CAT)


def test_a_concept_that_no_prompt_names_is_refused_at_once(two: World) -> None:
    """There is no caption of its pictures to unlearn."""
    assert FewShot.given == {"words"}
    mark = Concept("mark", kind="implicit", pictures=torch.rand(40, 3, 16, 16))
    before = two.model.costs
    with pytest.raises(Unsupported, match=r"few_shot: .* 'mark', which is implicit"):
        FewShot().run(two.model, (CAT, mark))
    assert two.model.costs.evaluations == before.evaluations


def test_mistakes_are_said() -> None:
    settings: dict[str, Any]
    for settings in ({"pictures": 0}, {"lr": 0.0}):
        with pytest.raises(BadSetting, match=f"few_shot: expected {next(iter(settings))}"):
            FewShot(**settings)
