"""Task vectors as vectors, and what they do to a model that was taught two words."""

from __future__ import annotations

import pytest
import torch
from tests.trained import world

from excise.primitives import arithmetic
from excise.primitives.arithmetic import Guidance
from excise.primitives.data import empty
from excise.primitives.denoising import Bank
from excise.primitives.points import noised
from excise.rng import generator


def test_norm_and_cosine_are_those_of_all_weights_together() -> None:
    a = {"x": torch.tensor([3.0, 0.0]), "y": torch.tensor([[4.0]])}
    assert arithmetic.norm(a) == pytest.approx(5.0)
    assert arithmetic.cosine(a, arithmetic.negated(a, 2.0)) == pytest.approx(-1.0)
    assert arithmetic.cosine(a, {"x": torch.tensor([0.0, 1.0])}) == 0.0
    assert arithmetic.cosine(a, {"z": torch.ones(2)}) == 0.0


def test_a_permuted_vector_keeps_every_tensors_size() -> None:
    a = {"x": torch.arange(24.0).view(2, 3, 4)}
    b = arithmetic.permuted(a, generator("test"))
    assert b["x"].shape == a["x"].shape
    assert not torch.equal(a["x"], b["x"])
    assert torch.equal(b["x"].flatten().sort().values, a["x"].flatten())


def test_coarse_blocks_are_a_partition_of_the_denoiser() -> None:
    model = world().model
    names = [name for members in arithmetic.coarse_blocks(model).values() for name in members]
    assert sorted(names) == sorted(model.parameters("denoiser"))


def test_an_edit_that_undoes_the_word_pulls_against_the_concept() -> None:
    """Removing what cross-attention adds moves the captioned prediction towards the null one."""
    model = world().model
    weights = model.parameters("cross_attention")
    undo = {n: -w.detach().clone() for n, w in weights.items() if ".attn2.to_v." in n}
    pictures = world().latents["cat"][:1]
    bank = Bank.of(pictures, 32, between=(0.7, 1.0))
    pull = arithmetic.guidance(model, undo, pictures, model.encode("a cat"), empty(model), bank)
    assert pull.concept - pull.null < -0.5
    assert pull.net(7.5) < pull.net(1.0) < 0


def test_the_guidance_bound_is_where_the_net_changes_sign() -> None:
    for scale in (4.0, 7.5, 12.0):
        at = Guidance(null=-1.0, concept=-Guidance.bound(scale))
        assert at.net(scale) == pytest.approx(0.0)
    assert Guidance.bound(4.0) == 0.75


def test_blocks_that_do_nothing_score_nothing() -> None:
    model = world().model
    blocks = arithmetic.coarse_blocks(model)
    live = model.parameters("denoiser")
    deltas = {n: torch.zeros_like(live[n]) for names in blocks.values() for n in names}
    for name in blocks["mid"]:
        deltas[name] = 0.3 * live[name].detach()
    pictures = world().latents["cat"][:1]
    bank = Bank.of(pictures, 16)
    kept = noised(model, world().latents["dog"][:1], 16)
    scores = arithmetic.block_scores(
        model, deltas, 1.0, pictures, model.encode("a cat"), bank, kept, model.encode("a dog")
    )
    assert {score.block for score in scores} == set(blocks)
    assert all(s.cost == 0 and s.gain == 0 for s in scores if s.block != "mid")
    assert next(s for s in scores if s.block == "mid").cost > 0
