from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.contracts.erasing import Seen
from tests.erasers.working import work_on
from tests.trained import World, world
from torch import Tensor, nn

import excise
from excise.api.judging import judges_for
from excise.emoji.glyphs import Atlas
from excise.emoji.memorised import RATIO, reproduced
from excise.emoji.subject import Subject
from excise.emoji.world import World as Emoji
from excise.erasers import ablating
from excise.erasers.ablating import Ablating, _FirstHeld
from excise.errors import BadConcept, BadSetting
from excise.primitives.data import drawn
from excise.primitives.denoising import Bank
from excise.primitives.finetune import Draw
from excise.primitives.losses import own_captions, relabelled
from excise.rng import generator, seed_of
from excise.types import Call, Concept, Request

CAT = Concept("cat", templates=("{a}", "a picture of {a}"), anchor="dog")
DRAW = Draw(seed=3, term="erase", step=0)


def small(**settings: Any) -> Ablating:
    return Ablating(**{"pictures": 8, "steps": 40, "batch": 8, "lr": 3e-3, **settings})


@pytest.fixture(scope="module")
def two() -> World:
    return world()


def told(two: World, prompt: str) -> Tensor:
    """What the model says, where only words can tell, on noised pictures of dogs."""
    latents = two.latents["dog"]
    bank = Bank.of(latents, 32, between=(0.7, 1.0))
    x = two.model.noise(latents[bank.picture], bank.eps, bank.u)
    with torch.no_grad():
        return two.model.predict(x, bank.u, two.model.encode(prompt))


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean())


@pytest.mark.parametrize("variant", ["model", "noise"])
def test_the_concepts_words_come_to_mean_the_anchor(two: World, variant: Any) -> None:
    cat, dog = told(two, "a cat"), told(two, "a dog")
    with small(variant=variant).run(two.model, CAT).applied(two.model):
        for text in ("a cat", "a picture of a cat"):
            assert apart(told(two, text), dog) < 0.1 * apart(cat, dog)
        assert apart(told(two, "a dog"), dog) < 0.1 * apart(cat, dog)
    assert torch.equal(told(two, "a cat"), cat)


def test_both_sides_are_the_network_in_training_and_one_has_no_gradient(two: World) -> None:
    model, latents = two.model, two.latents["dog"][:4]
    cat, dog = (model.encode([text] * 4).detach() for text in ("a cat", "a dog"))
    loss = relabelled(model, latents, own_captions(cat), own_captions(dog), batch=4)
    name = next(n for n in model.parameters("cross_attention_kv") if "to_v" in n)
    moved = {name: 0.3 * torch.randn(model.parameters(name)[name].shape, generator=generator("m"))}
    base = loss(DRAW)
    with model.swapped(moved), model.trainable(name) as live, torch.enable_grad():
        now = loss(DRAW)
        (found,) = torch.autograd.grad(now.mean(), [live[name]])
        # By hand, on the same points: rows, noise and levels in the order that they are drawn.
        numbers, rows = DRAW.generator, DRAW.rows(4, 4)
        eps = torch.randn(latents.shape, generator=numbers)
        u = (torch.rand(1, generator=numbers) + torch.arange(4) / 4) % 1.0
        x = model.noise(latents[rows], eps, u)
        here, there = model.predict(x, u, cat), model.predict(x, u, dog)
        direct = (here - there.detach()).square().mean(dim=(1, 2, 3))
        (expected,) = torch.autograd.grad(direct.mean(), [live[name]], retain_graph=True)
        both = (here - there).square().mean(dim=(1, 2, 3))
        (without_stop,) = torch.autograd.grad(both.mean(), [live[name]])
    assert torch.allclose(now, direct, rtol=1e-3)
    assert not torch.allclose(now, base, rtol=1e-2)  # the target has moved too
    assert torch.allclose(found, expected, atol=1e-3 * float(expected.abs().max()))
    assert not torch.allclose(found, without_stop, atol=0.1 * float(expected.abs().max()))


def test_pictures_are_the_anchors_under_the_same_sentences(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def spy(model: Any, request: Request) -> Any:
        seen["request"] = request
        return drawn(model, request)

    monkeypatch.setattr(ablating, "drawn", spy)
    tree = Concept("tree", templates=("red {}",), neighbours=("x",))
    record = small(pictures=4, steps=1).erase(two.model, (CAT, tree)).record
    assert [p.text for p in seen["request"].prompts] == record["anchors"]
    assert seen["request"].seeds == tuple(seed_of("ablating", 0, i) for i in range(8))
    assert sorted(record["targets"]) == sorted(
        [p.text for p in CAT.prompts()] * 2 + ["red tree"] * 4
    )
    assert record["anchors"] == [
        text.replace("cat", "dog").replace("tree", "x") for text in record["targets"]
    ]


def test_a_memorised_caption_is_a_concept(two: World) -> None:
    caption = Concept("the red cat", kind="implicit", anchor="a picture of a cat")
    record = small(pictures=2, steps=1).erase(two.model, caption).record
    assert record["targets"] == ["the red cat"] * 2
    assert record["anchors"] == ["a picture of a cat"] * 2
    with pytest.raises(BadConcept, match="expected an anchor"):
        small().run(two.model, Concept("the red cat", kind="implicit"))


@pytest.mark.slow
def test_a_memorised_picture_goes_and_others_stay() -> None:
    """What the paper does beside styles and objects, on the shipped model, by its own measure."""
    model, drawings = excise.load("emoji", device="cpu"), Emoji(atlas=Atlas())
    judge = judges_for(model, [Concept("dog")]).first

    def back() -> tuple[dict[str, Any], Seen]:
        found = reproduced(Subject.of(model).draw, drawings, each=12, seed=0)
        assert found["control"]["rate"] == 0
        return found["captions"], Seen.of(model, judge, ("dog", "car"))

    before, plain = back()
    learnt = [text for text, row in before.items() if row["reproduced"]["rate"] > 0.9]
    assert len(learnt) == 3  # one of the four was not learnt by heart
    own, *others = learnt
    # The caption in other words, at which the model draws something else.
    caption = Concept(own, kind="implicit", anchor="old bremen on sunday")
    method = Ablating(pictures=48, batch=16, steps=150, lr=8e-5, prior=3.0)
    with method.run(model, caption).applied(model):
        after, still = back()
    assert after[own]["reproduced"]["rate"] < 0.5
    assert before[own]["ratio"] < 0.4
    assert after[own]["ratio"] > 0.8  # hardly nearer than pictures that it was never shown
    for text in others:
        assert after[text]["reproduced"]["rate"] > 0.6
        assert after[text]["ratio"] < RATIO
    for name, rate in plain.rates.items():
        assert still.rates[name] >= 0.8 * rate


def test_only_keys_and_values_move_unless_told(two: World) -> None:
    few = set(small(pictures=2, steps=1).run(two.model, CAT).deltas)
    assert few == set(two.model.parameters("cross_attention_kv"))
    more = set(small(pictures=2, steps=1, selector=("denoiser",)).run(two.model, CAT).deltas)
    assert few < more


def test_the_first_token_teaches_nothing_and_counts_all_the_same(two: World) -> None:
    torch_layer = nn.Linear(3, 2, bias=False)
    x = torch.randn(4, 5, 3, generator=generator("first"))
    hook = _FirstHeld(wrapped=())
    out = hook.module(Call(module=""), torch_layer, (x,), {})
    assert torch.equal(out, torch_layer(x))
    (found,) = torch.autograd.grad(out.sum(), [torch_layer.weight])
    (expected,) = torch.autograd.grad(torch_layer(x[:, 1:]).sum(), [torch_layer.weight])
    assert torch.allclose(found, expected)
    held, free = (
        small(pictures=2, steps=1, hold_first=h).erase(two.model, CAT) for h in (True, False)
    )
    assert held.record["curves"] == free.record["curves"]
    assert held.edit != free.edit


def test_the_prior_is_the_anchors_own_loss(two: World) -> None:
    record = small(pictures=4, steps=2, prior=0.7).erase(two.model, CAT).record
    assert set(record["curves"]) == {"erase", "prior"}
    assert set(small(pictures=4, steps=1).erase(two.model, CAT).record["curves"]) == {"erase"}
    work = work_on(two.model, CAT)
    _, anchors = small(pictures=4)._pairs(work)
    latents = ablating._pictures(work, anchors)
    captions = own_captions(two.model.encode(anchors))
    seed = seed_of("fine-tune", 0)
    loss = relabelled(two.model, latents, captions, None, batch=8)(
        Draw(seed=seed, term="prior", step=0)
    )
    assert record["curves"]["prior"][0] == pytest.approx(float(loss.mean()), rel=1e-3)


def test_mistakes_are_said() -> None:
    for settings in ({"variant": "both"}, {"pictures": 0}, {"prior": -1.0}):
        with pytest.raises(BadSetting, match=f"ablating: expected {next(iter(settings))}"):
            Ablating(**settings)  # type: ignore[arg-type]
