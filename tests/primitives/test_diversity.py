from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.trained import World, world

from excise.primitives.denoising import Bank
from excise.primitives.diversity import (
    Diversity,
    clusters,
    cosines,
    functional_diversity,
    outside,
    participation,
    repulsion,
)
from excise.primitives.inversion import Inverter


@pytest.fixture(scope="module")
def w() -> World:
    return world()


@given(st.integers(1, 9), st.integers(0, 50))
def test_copies_take_part_as_one_and_orthogonal_effects_as_many(k: int, seed: int) -> None:
    one = torch.randn(1, 16, generator=torch.Generator().manual_seed(seed))
    assert participation(cosines(one.expand(k, 16).double())) == pytest.approx(1)
    assert participation(cosines(torch.eye(16).double()[:k])) == pytest.approx(k)


def test_what_has_no_effect_does_not_take_part() -> None:
    members = torch.cat([torch.eye(4)[:2], torch.zeros(3, 4)]).double()
    assert participation(cosines(members)) == pytest.approx(2)
    assert participation(torch.zeros(3, 3)) == 0


def test_clusters_are_numbered_as_they_appear() -> None:
    near = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.0, 1.1]]).double()
    assert clusters(cosines(near), 0.7) == (0, 1, 0, 1)
    assert clusters(cosines(near), 0.9999) == (0, 1, 2, 1)
    assert clusters(torch.ones(1, 1), 0.5) == (0,)


def test_singletons() -> None:
    cos = cosines(torch.eye(4)[[0, 0, 1, 2]].double())
    found = Diversity(cosines=cos, same=0.7, clusters=clusters(cos, 0.7))
    assert found.kinds == 3
    assert found.singletons == pytest.approx(0.5)


def test_the_penalty_is_zero_within_the_intervals_and_pushes_outside() -> None:
    assert outside(torch.tensor([-0.5, 0.2, 0.9]), (0.0, 0.5)).tolist() == pytest.approx(
        [0.5, 0.0, 0.4]
    )
    apart = torch.eye(3)
    assert float(repulsion(apart, (-1.0, 0.1))) == 0
    close = torch.tensor([[1.0, 0.0], [1.0, 0.2]], requires_grad=True)
    penalty = repulsion(close, (-1.0, 0.5), torch.tensor([1.0, 0.0]), (-1.0, 0.5))
    assert penalty.item() == pytest.approx(4 * 0.25, rel=0.1)
    (gradient,) = torch.autograd.grad(penalty, close)
    moved = (close - 0.1 * gradient).detach()
    assert float(cosines(moved)[0, 1]) < float(cosines(close)[0, 1])


def test_words_for_one_thing_do_one_thing(w: World) -> None:
    bank = Bank.of(w.latents["cat"], 6, between=(0.5, 1.0))
    reference = w.model.encode("a picture of a dog").detach()
    words = w.model.encode(["a cat", "a photo of a cat", "a cat"]).detach()
    alike = functional_diversity(w.model, w.latents["cat"], words, bank, reference=reference)
    assert alike.participation == pytest.approx(1, abs=0.2)
    assert alike.kinds == 1
    assert alike.singletons == 0
    copies = functional_diversity(w.model, w.latents["cat"], words[[0, 0, 0]], bank)
    assert copies.participation == pytest.approx(1, abs=1e-4)
    assert copies.cosines.shape == (3, 3)
    none = functional_diversity(
        w.model, w.latents["cat"], reference.expand(2), bank, reference=reference
    )
    assert none.to_json()["size"] == 2


def test_a_repulsed_set_is_further_apart(w: World) -> None:
    plain = Inverter(
        steps=25, samples=2, warmup=0, bank=4, template="a <1>", init="cat", jitter=0.2
    )
    found = plain.run(w.model, w.latents["cat"], restarts=4, word="cat")
    pushed = replace(
        plain, mode="repulsed", apart=(-1.0, 0.2), from_word=(-1.0, 0.3), repulsion=10.0, lr=0.2
    ).run(w.model, w.latents["cat"], restarts=4, word="cat")
    space = found.space(w.model)
    word = space.word("cat")
    off = ~torch.eye(4, dtype=torch.bool)
    far, near = (cosines(space.features(i.values))[off] for i in (pushed, found))
    assert far.max() < 0.3
    assert near.min() > far.max()
    to_word = [
        torch.cosine_similarity(space.features(i.values), word[None]) for i in (pushed, found)
    ]
    assert to_word[0].max() < to_word[1].min() - 0.1
