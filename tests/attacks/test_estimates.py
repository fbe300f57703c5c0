"""What an attack says that it will cost is what it costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise import registry
from excise.attacks.base import Attack
from excise.models.load import of_pipeline
from excise.rng import generator
from excise.settings import build
from excise.types import Concept, Prompt

PICTURES = torch.rand(8, 3, 16, 16, generator=generator("pictures"))
CAT = Concept("cat", neighbours=("dog",), pictures=PICTURES)
# Searches whose number of steps does not depend on what they find.
COUNTED = (
    "benign_finetune", "completion", "concept_arithmetics", "concept_inversion",
    "diverse_inversion", "durability", "edit_image", "guidance", "image_side", "noise_probe",
    "paraphrase", "relearn", "reseed", "swap",
)  # fmt: skip


def fresh() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 2, "guidance": 2.0})


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any]:
    return fresh(), fresh()


@pytest.mark.parametrize("name", COUNTED)
def test_candidates_and_gradients_are_as_many_as_it_says(
    models: tuple[Any, Any], name: str
) -> None:
    kind: type[Attack] = registry.get("attack", name)
    attack = build(kind, kind.smallest)
    model, base = models
    before = model.costs + base.costs
    rounds = list(attack.search(model, (CAT,), Prompt.of(["a cat", "a dog"]), base=base))
    assert len(rounds) == attack.candidates
    assert (model.costs + base.costs - before).gradients == attack.gradients
    for budget in ("quick", "standard", "thorough"):
        assert attack.at(budget).candidates >= 1
