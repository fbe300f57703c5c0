"""What does not converge is said, and leaves the model as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.contracts.test_erasers import snapshot

from excise import registry
from excise.attacks.base import Attack
from excise.erasers.base import Eraser
from excise.errors import NumericalError
from excise.models.load import of_pipeline
from excise.rng import generator
from excise.settings import build
from excise.store import Stages
from excise.types import Concept, Prompt

CAT = Concept("cat", neighbours=("dog",), templates=("{a}",))
PLACES = [
    (name, field)
    for name in registry.names("eraser")
    for field in registry.get("eraser", name).__dataclass_fields__
    if field == "lr" or field.endswith("_lr")
    # What searches find is held to the norms of words, and so stays a number at any rate.
    if field != "inversion_lr"
]


@pytest.fixture(scope="module")
def model() -> Any:
    found = of_pipeline(tiny.stable_diffusion(), "tiny", {"steps": 2, "guidance": 2.0})
    found.known = (CAT, Concept("dog"))
    return found


@pytest.mark.parametrize(("name", "field"), PLACES)
def test_a_loss_of_an_eraser_that_is_no_number(
    model: Any, tmp_path: Path, name: str, field: str
) -> None:
    kind: type[Eraser] = registry.get("eraser", name)
    lengths = {n: 3 for n in ("steps", "heal") if n in kind.__dataclass_fields__}
    bounded = {n: None for n in ("ceiling",) if n in kind.__dataclass_fields__}
    method = build(kind, {**kind.smallest, **lengths, **bounded, field: 1e30})
    before = snapshot(model)
    with pytest.raises(NumericalError, match=r"lower lr|smaller lr|learning rate") as caught:
        method.run(model, CAT, stages=Stages(tmp_path, every_seconds=0.0))
    assert "\n" not in str(caught.value)
    assert snapshot(model) == before


ATTACKS: dict[str, type[Attack]] = {n: registry.get("attack", n) for n in registry.names("attack")}
FITTED = {n: kind for n, kind in ATTACKS.items() if "lr" in kind.__dataclass_fields__}
CHANGING = [n for n, kind in FITTED.items() if kind.kind == "changing"]
# Soft tokens are held to the norms of words, whatever the learning rate.
SEARCHES = [
    n
    for n, kind in FITTED.items()
    if n not in CHANGING and {"rung", "tokens"} & {*kind.__dataclass_fields__} != {"tokens"}
]


@pytest.mark.parametrize("name", CHANGING)
def test_a_loss_of_an_attack_that_changes_the_model_is_no_number(model: Any, name: str) -> None:
    attack = build(ATTACKS[name], {**ATTACKS[name].smallest, "lr": 1e30})
    concept = replace(CAT, pictures=torch.rand(8, 3, 16, 16, generator=generator("pictures")))
    before = snapshot(model)
    with pytest.raises(NumericalError, match="lr"):
        list(attack.search(model, (concept,), (Prompt("a cat"),), base=model))
    assert snapshot(model) == before


@pytest.mark.parametrize("name", SEARCHES)
def test_a_loss_of_an_attack_that_is_no_number(model: Any, name: str) -> None:
    attack: Attack = registry.get("attack", name)()
    # A conditioning is not held to the norms of words, as tokens are.
    small = {"restarts": 2, "steps": 3, "samples": 1, "pictures": 2, "lr": 1e30,
             "rung": "condition"}  # fmt: skip
    small = {n: v for n, v in small.items() if n in attack.__dataclass_fields__}
    attack = replace(attack, **small)  # type: ignore[arg-type]
    concept = replace(CAT, pictures=torch.rand(8, 3, 16, 16, generator=generator("pictures")))
    before = snapshot(model)
    with pytest.raises(NumericalError, match="lr"):
        next(attack.search(model, (concept,), (Prompt("a cat"),)))
    assert snapshot(model) == before
