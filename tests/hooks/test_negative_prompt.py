from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.edit import Edit, Recipe
from excise.errors import BadSetting, Unsupported
from excise.hooks.base import alone
from excise.hooks.negative_prompt import NegativePrompt
from excise.models.load import of_pipeline
from excise.rng import noise
from excise.types import Condition, Hook, Prompt, Request, State, Step, TextToImage

STEP = Step(u=0.5, guidance=4.0)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


@torch.no_grad()
def drawn(model: Any, *hooks: Hook, step: Step = STEP, negative: list[str] | None = None) -> Tensor:
    with model.hooked(hooks):
        cond, null = model.conditions(["a dog", "a tree"], negative)
        x = noise([0, 1], model.latent_shape)
        out: Tensor = model.denoise(x, step, cond, null)[0]
        return out


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4)


def test_it_is_the_negative_prompt_of_a_request(model: Any) -> None:
    plain, asked = drawn(model), drawn(model, negative=["a cat", "a cat"])
    assert not close(plain, asked)
    assert close(drawn(model, NegativePrompt(text="a cat")), asked)


def test_replacing_the_unconditional_is_a_term_at_strength_one(model: Any) -> None:
    for guidance in (1.0, 2.0, 7.5):
        step = replace(STEP, guidance=guidance)
        one = drawn(model, NegativePrompt(text="a cat"), step=step)
        two = drawn(model, NegativePrompt(text="a cat", place="prediction"), step=step)
        assert close(one, two)
        assert close(one, drawn(model, step=step)) == (guidance == 1)


def test_strengths_add_up(model: Any) -> None:
    whole = NegativePrompt(text="a cat", place="prediction")
    half = whole.scaled(0.5)
    assert close(drawn(model, half, half), drawn(model, whole))
    assert close(drawn(model, whole, whole.scaled(-1)), drawn(model))
    edit = Edit.of(model, hooks=[whole], recipe=Recipe(method="test"))
    with (0.25 * edit + 0.75 * edit).applied(model):
        assert close(drawn(model), drawn_once(model, whole))


def drawn_once(model: Any, hook: Hook) -> Tensor:
    other = of_pipeline(tiny.FAMILIES[model.name](), model.name)
    return drawn(other, hook)


def test_a_prediction_of_the_condition_alone_stays_alone(model: Any) -> None:
    guard = NegativePrompt(text="a cat", place="prediction")
    assert torch.equal(drawn(model, guard, step=alone(STEP)), drawn(model, step=alone(STEP)))


class Names(Hook):
    """A hook that puts a name of its own into the condition."""

    def condition(
        self,
        model: TextToImage,
        prompts: tuple[Prompt, ...],
        cond: Condition,
        null: Condition | None,
    ) -> tuple[Condition, Condition | None]:
        assert null is not None
        return cond.replace(mine=cond.hidden[:, :1]), null.replace(mine=null.hidden[:, :1])


def test_it_gets_along_with_hooks_that_add_names(model: Any) -> None:
    for place in ("condition", "prediction"):
        guard = NegativePrompt(text="a cat", place=place)
        assert torch.equal(drawn(model, Names(), guard), drawn(model, guard))


def test_the_text_is_encoded_once_a_drawing(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    real = type(model).encode
    monkeypatch.setattr(type(model), "encode", lambda m, p: (seen.append(p), real(m, p))[1])
    guard = NegativePrompt(text="a cat", place="prediction")
    with model.hooked([guard]):
        pictures = model.generate(Request(prompts=("a dog",), seeds=(0,), steps=3)).pictures
    assert seen.count("a cat") == 1
    assert not torch.equal(
        pictures, model.generate(Request(prompts=("a dog",), seeds=(0,), steps=3)).pictures
    )


def test_the_size_of_the_picture_stays(model: Any) -> None:
    for place in ("condition", "prediction"):
        with model.hooked([NegativePrompt(text="a cat", place=place)]):
            cond, null = model.conditions(["a dog"], size=(32, 16))
            x = noise([0], (4, 16, 8))
            if "time_ids" in cond.tensors:
                assert torch.equal(null.tensors["time_ids"], cond.tensors["time_ids"])
            model.denoise(x, STEP, cond, null)


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(BadSetting, match="place=prediction"):
        NegativePrompt(text="a cat", strength=0.5)
    assert NegativePrompt(text="a cat").scaled(0.5).place == "prediction"


def test_a_family_without_an_unconditional_is_told(model: Any) -> None:
    guard = NegativePrompt(text="a cat", place="prediction")
    cond, _ = model.conditions(["a dog"])
    with pytest.raises(Unsupported, match="NegativePrompt"):
        guard.prediction(model, model.denoise, torch.zeros(1), STEP, cond, None, State())
