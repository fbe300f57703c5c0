"""Every eraser erases: on the shipped model, at the quick budget, by the model's own judge.

A new eraser is found by its file. What a method cannot do under the settings that it has for
this model is said below with its figures, and stops passing for an excuse once it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tests.contracts.erasing import PICTURES, Broken, Promise, Seen, alike, drawn
from torch import Tensor

import excise
from excise import registry
from excise.api.judging import judges_for
from excise.edit import Edit, Recipe
from excise.emoji.pictures import concept_pictures
from excise.erasers.base import Eraser
from excise.rng import generator
from excise.types import Concept, Condition, Hook, Judge, State, Step, TextToImage

pytestmark = pytest.mark.slow

GONE, STAYS = ("cat", "truck"), ("dog", "car")  # car is to truck what dog is to cat
SHORT_OF: Mapping[str, tuple[float, float, float]] = {
    "ablating": (0.96, 0.83, 1.00),
    "concept_prune": (0.96, 0.75, 0.96),
    "esd": (0.12, 0.67, 1.00),
    "few_shot": (0.96, 0.79, 1.00),
    "gradient_ascent": (0.71, 0.62, 0.92),
    "leace": (0.67, 0.88, 1.00),
    "negative_prompt": (0.62, 0.50, 0.88),
    "rece": (0.00, 0.33, 0.12),
    "safree": (0.50, 0.50, 0.88),
    "salun": (0.46, 0.67, 1.00),
    "sld": (0.62, 0.58, 0.96),
    "stereo": (0.83, 0.83, 0.96),
}
"""By method, its rates of cat, dog and car where they are not enough, or barely.

The model alone: cat 0.96, dog 0.79, car 1.00. With the settings of Stable Diffusion's papers, at a
quarter of their steps; gradient ascent and ESD with the best of those that they were tried under
(docs/experiments.md). An entry goes once its method has settings of its own for this model and
keeps its promise: its rates are others then, and the test fails.
"""

OTHERWISE = 4 / PICTURES + 1e-6
"""By so much a rate may differ from the one above. Other roundings draw other pictures: two RECE
edits that differ by one part in ten million drew three dogs more or fewer."""


@pytest.fixture(scope="module")
def model() -> Any:
    return excise.load("emoji", device="cpu")


@pytest.fixture(scope="module")
def judge(model: Any) -> Judge:
    return judges_for(model, [Concept(name) for name in GONE]).first


@pytest.fixture(scope="module")
def base(model: Any, judge: Judge) -> Seen:
    return Seen.of(model, judge, (*GONE, *STAYS))


@pytest.fixture(scope="module")
def promise(model: Any, judge: Judge, base: Seen) -> Promise:
    return Promise(model=model, judge=judge, gone=("cat",), stays=STAYS, base=base)


@pytest.fixture(scope="module")
def quick(model: Any, judge: Judge) -> Callable[..., Edit]:
    """A method's edit at the quick budget, made once."""
    made: dict[tuple[str, ...], Edit] = {}

    def edit(method: str, *names: str) -> Edit:
        if (method, *names) not in made:
            kind: type[Eraser] = registry.get("eraser", method)
            concepts = [concept(kind, name) for name in names]
            eraser = kind.fitted(model, kind="object").at("quick")
            made[method, *names] = eraser.run(model, concepts, judge=judge)
        return made[method, *names]

    return edit


def concept(kind: type[Eraser], name: str) -> Concept:
    """Given by its name where that is enough, else by pictures of it."""
    if "words" in kind.given:
        return Concept(name)
    return Concept(name, pictures=concept_pictures(name, 160))


@pytest.mark.parametrize("method", registry.names("eraser"))
def test_the_concept_goes_and_the_rest_stays(
    quick: Callable[..., Edit], promise: Promise, method: str
) -> None:
    edit = quick(method, "cat")
    if method not in SHORT_OF:
        promise.kept(edit)
        return
    found = promise.seen(edit)
    stated = dict(zip(("cat", *STAYS), SHORT_OF[method], strict=True))
    off = {name: rate for name, rate in stated.items() if abs(found.rates[name] - rate) > OTHERWISE}
    assert not off, f"{method}: expected {off}, got {found}; is the list above out of date?"
    pytest.xfail("; ".join(promise.broken(found)) or "barely what is asked")


def test_what_is_said_to_fall_short_does(promise: Promise) -> None:
    """No entry is there that a few pictures alone could have put there."""
    for method, rates in SHORT_OF.items():
        cat, dog, car = rates
        worse = {"cat": cat + OTHERWISE, "dog": dog - OTHERWISE, "car": car - OTHERWISE}
        assert promise.broken(Seen(rates=worse, apart=promise.base.apart)), method


def test_no_two_methods_do_the_same(quick: Callable[..., Edit], model: Any) -> None:
    effects: dict[str, Tensor] = {}
    for method in registry.names("eraser"):
        with quick(method, "cat").applied(model):
            effects[method] = drawn(model)
    assert alike(drawn(model), effects) == []


@pytest.mark.parametrize("method", ["uce", "speed"])
def test_several_concepts_go_at_once_and_the_rest_stays(
    quick: Callable[..., Edit], promise: Promise, method: str
) -> None:
    both = Promise(
        model=promise.model, judge=promise.judge, gone=GONE, stays=STAYS, base=promise.base
    )
    both.kept(quick(method, *GONE))


# The contract itself is broken by what only looks like erasing.


def nothing(model: TextToImage) -> Edit:
    """Weights that change, and nothing that shows."""
    (name,) = [n for n in model.parameters("unet") if n == "unet.conv_out.bias"]
    delta = torch.full_like(model.parameters("unet")[name], 1e-6)
    return Edit.of(model, {name: delta}, recipe=Recipe(method="nothing"))


def noise(model: TextToImage) -> Edit:
    """Nothing can be made out any more."""
    deltas = {
        name: torch.randn(weight.shape, generator=generator("noise", name)) * weight.std()
        for name, weight in model.parameters("unet").items()
        if weight.dim() > 1
    }
    return Edit.of(model, deltas, recipe=Recipe(method="noise"))


@dataclass(frozen=True, eq=False, kw_only=True)
class OnePicture(Hook):
    """Whatever is asked for, every step leads to the same latents (c, h, w)."""

    latents: Tensor

    def prediction(
        self,
        model: TextToImage,
        denoise: Any,
        x: Tensor,
        step: Step,
        cond: Condition,
        null: Condition | None,
        state: State,
    ) -> tuple[Tensor, State]:
        x0 = self.latents.expand_as(x)
        one, none = torch.ones_like(x), torch.zeros_like(x)
        eps = (x - model.noise(x0, none, step.u)) / model.noise(none, one, step.u)
        return model.target(x0, eps, step.u), state


def one_picture(model: TextToImage) -> Edit:
    """A good picture of a dog, for every prompt."""
    latents = model.encode_pictures(concept_pictures("dog", 1))[0].detach()
    return Edit.of(model, hooks=(OnePicture(latents=latents),), recipe=Recipe(method="one picture"))


@dataclass(frozen=True, eq=False, kw_only=True)
class OnePrompt(Hook):
    """Whatever is asked for, the text is read in its place."""

    text: str

    def condition(
        self, model: TextToImage, prompts: Any, cond: Condition, null: Condition | None
    ) -> tuple[Condition, Condition | None]:
        return model.encode(self.text).expand(len(cond)), null


def one_prompt(model: TextToImage) -> Edit:
    """Good pictures of dogs, for every prompt."""
    return Edit.of(model, hooks=(OnePrompt(text="a dog"),), recipe=Recipe(method="one prompt"))


@pytest.mark.parametrize(
    ("eraser", "said"),
    [
        (nothing, r"^cat is there:"),
        (noise, r"^dog is lost; car is lost"),
        (one_picture, r"^car is lost; pictures of dog are alike"),
        (one_prompt, r"^car is lost:"),
    ],
)
def test_what_only_looks_like_erasing_fails(
    promise: Promise, eraser: Callable[[TextToImage], Edit], said: str
) -> None:
    with pytest.raises(Broken, match=said):
        promise.kept(eraser(promise.model))


def test_a_model_that_draws_nothing_proves_nothing(promise: Promise, judge: Judge) -> None:
    model = promise.model
    with noise(model).applied(model):
        base = Seen.of(model, judge, ("cat", "dog"))
        with pytest.raises(Broken, match="nothing can be said"):
            Promise(model=model, judge=judge, gone=("cat",), stays=("dog",), base=base)
