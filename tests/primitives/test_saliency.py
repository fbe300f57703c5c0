from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.errors import BadSetting, NumericalError
from excise.models.load import of_pipeline
from excise.primitives.saliency import (
    LayerScore,
    confined,
    gradient_sums,
    held,
    joined,
    layer_scores,
    pareto,
    pruned,
    skilled,
    top_share,
)
from excise.rng import generator

LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.2.weight"
ROWS = 5


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator("saliency", seed))


@pytest.mark.parametrize("share", [0.013, 0.5, 1.0])
def test_the_top_share_is_exactly_the_largest(share: float) -> None:
    scores = {"a": normal(40, 30).abs(), "b": normal(7, seed=1).abs() * 3, "c": torch.zeros(50)}
    masks = top_share(scores, share)
    flat = torch.cat([score.flatten() for score in scores.values()])
    wanted = round(share * len(flat))
    assert {name: mask.shape for name, mask in masks.items()} == {
        name: score.shape for name, score in scores.items()
    }
    assert held(masks) == wanted
    inside = torch.cat([mask.flatten() for mask in masks.values()])
    assert torch.equal(flat[inside].sort().values, flat.sort().values[len(flat) - wanted :])


def test_ties_go_to_the_first() -> None:
    scores = {"a": torch.tensor([1.0, 2.0, 1.0]), "b": torch.tensor([1.0, 3.0, 1.0])}
    masks = top_share(scores, 4 / 6)
    assert masks["a"].tolist() == [True, True, True]
    assert masks["b"].tolist() == [False, True, False]
    assert held(top_share({"a": torch.zeros(10)}, 0.3)) == 3


def test_neighbouring_floats_are_told_apart() -> None:
    a = torch.tensor(0.1)
    scores = torch.stack([a, torch.nextafter(a, torch.tensor(1.0)), torch.tensor(1e-40), a * 0])
    for count, expected in ((1, [1]), (2, [0, 1]), (3, [0, 1, 2])):
        assert top_share({"x": scores}, count / 4)["x"].nonzero().flatten().tolist() == expected


def test_a_share_out_of_range_is_refused() -> None:
    for share in (0.0, 1.5):
        with pytest.raises(BadSetting, match="share"):
            top_share({"a": torch.ones(3)}, share)


def losses(model: Any) -> Any:
    x = normal(ROWS, 4, 8, 8)
    cond = model.encode(["a cat"] * ROWS).detach()

    def errors(rows: Tensor) -> Tensor:
        return model.predict(x[rows], 0.5, cond[rows]).square().mean(dim=(1, 2, 3))

    return errors


def test_gradients_add_up_with_their_sign_whatever_the_batch(model: Any) -> None:
    errors, before = losses(model), model.fingerprint()
    found = {b: gradient_sums(model, "mid", errors, ROWS, batch=b) for b in (1, 3, ROWS)}
    with model.trainable("mid") as live, torch.enable_grad():
        errors(torch.arange(ROWS)).sum().backward()
        for name, weight in live.items():
            size = float(weight.grad.abs().max())
            for sums in found.values():
                assert torch.allclose(sums[name], weight.grad, atol=1e-4 * size)
    assert any(value.min() < 0 < value.max() for value in found[1].values())
    assert set(found[1]) == set(model.parameters("mid"))
    assert model.fingerprint() == before


def test_what_no_gradient_reaches_is_zero_and_what_is_not_finite_is_refused(model: Any) -> None:
    name = next(iter(model.parameters("text_encoder")))
    sums = gradient_sums(model, (LAYER, name), losses(model), 2, batch=2)
    assert not sums[name].any()
    assert sums[LAYER].any()
    with pytest.raises(NumericalError, match="not finite"):
        gradient_sums(model, LAYER, lambda rows: losses(model)(rows) * float("inf"), 1, batch=1)


def test_skilled_weights_by_hand() -> None:
    weight = torch.tensor([[3.0, -4.0, 1.0, 0.5], [1.0, 0.5, 1.0, -1.0]])
    target, base = torch.tensor([1.0, 1.0, 2.0, 9.0]), torch.tensor([0.5, 2.0, 1.0, 9.0])
    # Scores: 3 4 2 4.5 and 1 0.5 2 9; those of columns 1 and 3 are no larger than under the base.
    assert skilled(weight, target, base, 0.75).int().tolist() == [[1, 0, 0, 0], [1, 0, 1, 0]]
    assert skilled(weight, target, base, 1.0).int().tolist() == [[1, 0, 1, 0], [1, 0, 1, 0]]
    assert skilled(weight, target, base, 0.01).sum() == 0  # one a row, which the base needs as much


def test_a_change_within_a_mask_and_pruning(model: Any) -> None:
    weight = model.parameters(LAYER)[LAYER].detach().clone()
    mask = {LAYER: weight > weight.mean()}
    deltas = pruned(model, mask)
    with model.swapped(deltas):
        after = model.parameters(LAYER)[LAYER].detach()
        assert not after[mask[LAYER]].any()  # exactly zero
        assert torch.equal(after[~mask[LAYER]], weight[~mask[LAYER]])
    some = confined({LAYER: torch.ones_like(weight), "other": torch.ones(2)}, mask)
    assert set(some) == {LAYER}
    assert torch.equal(some[LAYER], mask[LAYER].float())


def test_masks_are_joined() -> None:
    one = {"a": torch.tensor([True, False]), "b": torch.tensor([False])}
    both = joined([one, {"a": torch.tensor([False, True])}])
    assert both["a"].tolist() == [True, True]
    assert both["b"].tolist() == [False]
    assert one["a"].tolist() == [True, False]


def test_layers_are_scored_by_size_and_angle() -> None:
    weights = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0]), "c": torch.tensor([2.0, 0.0])}
    forget = {"a": torch.tensor([1.0]), "b": torch.tensor([0.0]), "c": torch.tensor([1.0, 1.0])}
    retain = {"a": torch.tensor([0.0]), "b": torch.tensor([-5.0]), "c": torch.tensor([2.0, 2.0])}
    one, two = layer_scores({"1": ("a", "b"), "2": ("c",)}, weights, forget, retain)
    assert one == LayerScore(layer="1", importance=pytest.approx(1 / 5), alignment=0.0)  # type: ignore[arg-type]
    assert two.importance == pytest.approx(2**0.5 / 2)
    assert two.alignment == pytest.approx(1.0)


def test_the_front_is_what_no_other_layer_beats() -> None:
    points = torch.rand(40, 2, generator=generator("front")).tolist()
    scores = [
        LayerScore(layer=str(i), importance=a, alignment=b) for i, (a, b) in enumerate(points)
    ]
    front = pareto(scores)
    unbeaten = {
        s.layer
        for s in scores
        if not any(o.importance > s.importance and o.alignment < s.alignment for o in scores)
    }
    assert {s.layer for s in front} == unbeaten
    assert 1 < len(front) < len(scores)
    assert [s.alignment for s in front] == sorted((s.alignment for s in front), reverse=True)
