from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from excise.edit import LowRank as LowRankDelta
from excise.errors import BadSetting, NumericalError, UnknownName
from excise.models.load import of_pipeline
from excise.primitives.finetune import Draw, Loss, Optimiser, Term, Tuned, finetune
from excise.primitives.losses import mean, one_caption, picture_errors
from excise.primitives.parametrise import LowRank
from excise.progress import Silent
from excise.rng import noise
from excise.store import Stages, hash_tensors

FAST = Optimiser(lr=1e-2)
WEIGHT = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def pictures(model: Any, batch: int = 2) -> Loss:
    latents = noise(range(5), model.latent_shape)
    return mean(picture_errors(model, latents, one_caption(model.encode("a cat")), batch=batch))


def tuned(model: Any, steps: int = 3, **options: Any) -> Tuned:
    settings = {"optimiser": FAST, "selector": "cross_attention_kv", **options}
    selector = settings.pop("selector")
    terms = settings.pop("terms", None) or {"concept": Term(loss=pictures(model))}
    return finetune(model, selector, terms, steps=steps, **settings)


def state(model: Any) -> tuple[str, list[tuple[bool, bool]]]:
    everything = model.parameters("*").values()
    return model.fingerprint(), [(p.requires_grad, p.grad is None) for p in everything]


class StopAt(Silent):
    """Raises when so many steps are done."""

    def __init__(self, steps: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.left, self.error = steps, error

    def advance(self, n: int = 1) -> None:
        self.left -= n
        if n and self.left <= 0:
            raise self.error("stopped")


def test_deltas_are_what_is_selected_and_lower_the_loss(model: Any) -> None:
    found = tuned(model, 12)
    assert set(found.deltas) == set(model.parameters("cross_attention_kv"))
    for name, delta in found.deltas.items():
        assert delta.dtype == torch.float32
        assert delta.shape == model.parameters(name)[name].shape
        assert delta.any()
    draw = Draw(seed=9, term="other", step=0)
    before = pictures(model, 32)(draw)
    with torch.no_grad(), model.swapped(found.deltas):
        assert pictures(model, 32)(draw) < before
    assert len(found.curves["concept"]) == 12


def test_the_deltas_are_the_way_to_where_training_ended(model: Any) -> None:
    last: dict[str, Tensor] = {}
    plain = pictures(model)

    def loss(draw: Draw) -> Tensor:
        last.update({WEIGHT: model.parameters(WEIGHT)[WEIGHT].detach().clone()})
        return plain(draw)

    before = model.parameters(WEIGHT)[WEIGHT].detach().clone()
    found = tuned(model, 3, terms={"concept": Term(loss=loss)})
    two = tuned(model, 2)  # the third step's loss sees the weights after two
    assert torch.equal(two.deltas[WEIGHT], last[WEIGHT] - before)
    assert not torch.equal(found.deltas[WEIGHT], two.deltas[WEIGHT])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, None])
def test_the_model_is_as_it_was(model: Any, error: type[BaseException] | None) -> None:
    frozen, graded = list(model.parameters("*").values())[:2]
    frozen.requires_grad_(False)
    graded.grad = torch.ones_like(graded)
    kept, before = graded.grad, state(model)
    if error is None:
        tuned(model)
    else:
        with pytest.raises(error):
            tuned(model, progress=StopAt(2, error))
    assert state(model) == before
    assert graded.grad is kept
    frozen.requires_grad_(True)
    graded.grad = None


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(model: Any) -> None:
    with torch.no_grad():  # whatever the caller's mode
        a = tuned(model, seed=1)
    b, c = tuned(model, seed=1), tuned(model, seed=2)
    assert hash_tensors(a.deltas) == hash_tensors(b.deltas) != hash_tensors(c.deltas)


@pytest.mark.parametrize("stop", [1, 3, 4])
@pytest.mark.parametrize("options", [{"optimiser": Optimiser(lr=1e-2, ema=0.5), "accumulate": 2},
                                     {"parametrisation": LowRank(rank=2)}])  # fmt: skip
def test_a_killed_run_ends_with_the_same_bytes(
    model: Any, tmp_path: Path, stop: int, options: dict[str, Any]
) -> None:
    whole = tuned(model, 5, **options)
    stages = Stages(tmp_path, every_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        tuned(model, 5, stage=stages.stage("t", 0), progress=StopAt(stop + 1), **options)
    began: list[int] = []
    plain = pictures(model)

    def loss(draw: Draw) -> Tensor:
        began.append(draw.step)
        return plain(draw)

    terms = {"concept": Term(loss=loss)}
    again = tuned(model, 5, stage=stages.stage("t", 0), terms=terms, **options)
    assert began[0] == stop * options.get("accumulate", 1)  # it went on, it did not start again
    assert hash_tensors(again.artefact().tensors) == hash_tensors(whole.artefact().tensors)
    assert again.curves == whole.curves


def test_a_finished_stage_is_not_done_again(model: Any, tmp_path: Path) -> None:
    def refuse(draw: Draw) -> Tensor:
        raise AssertionError("computed again")

    first = tuned(model, stage=Stages(tmp_path).stage("t", 0))
    found = tuned(model, stage=Stages(tmp_path).stage("t", 0), terms={"concept": Term(loss=refuse)})
    assert hash_tensors(found.deltas) == hash_tensors(first.deltas)


def test_what_is_not_finite_names_the_step_and_what_to_do(model: Any) -> None:
    before = state(model)

    plain = pictures(model)

    def breaks(factor: float) -> Loss:
        return lambda draw: plain(draw) * (factor if draw.step == 1 else 1.0)

    with pytest.raises(NumericalError, match="loss 'concept' became nan at step 2 of 3.*lower lr"):
        tuned(model, terms={"concept": Term(loss=breaks(float("nan")))})
    with pytest.raises(NumericalError, match="gradient's norm became (inf|nan) at step 2"):
        tuned(model, terms={"concept": Term(loss=breaks(1e30), weight=1e15)})
    assert state(model) == before


def pull_to(model: Any, goal: Tensor) -> dict[str, Term]:
    """A loss of the weights alone: their distance to where they shall move."""
    goal = model.parameters(WEIGHT)[WEIGHT].detach().float() + goal

    def loss(draw: Draw) -> Tensor:
        return (model.parameters(WEIGHT)[WEIGHT].float() - goal).square().sum()

    return {"goal": Term(loss=loss)}


@pytest.mark.parametrize("parametrisation", [None, LowRank(rank=1), LowRank(rank=2, alpha=1)])
def test_a_known_goal_is_reached(model: Any, parametrisation: LowRank | None) -> None:
    up, down = noise([1], (32, 1))[0], noise([2], (1, 32))[0]
    goal = 0.1 * up @ down
    terms = pull_to(model, goal)
    found = tuned(model, 150, terms=terms, selector=WEIGHT, parametrisation=parametrisation)
    assert torch.allclose(found.deltas[WEIGHT], goal, atol=0.02)
    if parametrisation is not None:
        assert isinstance(found.encoded[WEIGHT], LowRankDelta)
        assert torch.linalg.matrix_rank(found.deltas[WEIGHT]) <= parametrisation.rank


def test_low_rank_starts_where_the_model_is_and_leaves_vectors(model: Any) -> None:
    name = "unet.conv_out"
    found = tuned(model, 2, selector=f"{name}.*", parametrisation=LowRank(rank=1))
    assert set(found.deltas) == {f"{name}.weight"}  # a kernel, and no bias
    assert found.deltas[f"{name}.weight"].shape == model.parameters("*")[f"{name}.weight"].shape
    assert found.curves["concept"][0] == tuned(model, 1).curves["concept"][0]


def test_a_mask_confines_the_change(model: Any) -> None:
    weight = model.parameters(WEIGHT)[WEIGHT]
    mask = (torch.arange(weight.numel()) % 3 == 0).view_as(weight).float()
    found = tuned(model, mask={WEIGHT: mask})
    assert set(found.deltas) == {WEIGHT}
    assert torch.equal(found.deltas[WEIGHT] != 0, mask.bool())
    with pytest.raises(UnknownName, match="selected weight"):
        tuned(model, mask={"unet.conv_out.bias": torch.ones(4)})


def test_an_average_lags_behind(model: Any) -> None:
    goal = noise([3], (32, 32))[0]
    terms = pull_to(model, goal)
    plain = tuned(model, 10, terms=terms, selector=WEIGHT)
    lagging = tuned(model, 10, terms=terms, selector=WEIGHT, optimiser=Optimiser(lr=1e-2, ema=0.8))
    share = lagging.deltas[WEIGHT].norm() / plain.deltas[WEIGHT].norm()
    assert 0.2 < share < 0.8


def test_clipping_bounds_the_first_moment_and_weights_count(model: Any) -> None:
    goal = noise([3], (32, 32))[0]
    terms = pull_to(model, goal)
    heavy = {"goal": Term(loss=terms["goal"].loss, weight=7.0)}
    sgd_like = Optimiser(lr=1e-3, eps=1e3, clip=None)  # a large eps makes the step follow the size
    small = tuned(model, 1, terms=terms, selector=WEIGHT, optimiser=sgd_like).deltas[WEIGHT]
    large = tuned(model, 1, terms=heavy, selector=WEIGHT, optimiser=sgd_like).deltas[WEIGHT]
    assert float(large.norm() / small.norm()) == pytest.approx(7.0, rel=0.1)
    clipped = Optimiser(lr=1e-3, eps=1e3, clip=1.0)
    a = tuned(model, 1, terms=terms, selector=WEIGHT, optimiser=clipped).deltas[WEIGHT]
    b = tuned(model, 1, terms=heavy, selector=WEIGHT, optimiser=clipped).deltas[WEIGHT]
    assert torch.allclose(a, b, rtol=0.05, atol=1e-9)


def test_accumulated_draws_are_averaged(model: Any) -> None:
    terms = pull_to(model, noise([3], (32, 32))[0])  # the same at every draw
    once = tuned(model, 2, terms=terms, selector=WEIGHT)
    thrice = tuned(model, 2, terms=terms, selector=WEIGHT, accumulate=3)
    assert torch.allclose(once.deltas[WEIGHT], thrice.deltas[WEIGHT], atol=1e-6)
    assert once.curves["goal"] == pytest.approx(thrice.curves["goal"], rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_have_full_precision_deltas(dtype: torch.dtype) -> None:
    pipeline = tiny.stable_diffusion().to(dtype)
    model = of_pipeline(pipeline, "half")
    before = state(model)
    weight = model.parameters(WEIGHT)[WEIGHT].detach().float()
    found = tuned(model, 2, optimiser=Optimiser(lr=1e-6)).deltas[WEIGHT]
    assert state(model) == before
    assert found.dtype == torch.float32
    # Far below what the model's own precision can show at these weights.
    assert 0 < found.abs().max() < torch.finfo(dtype).eps * weight.abs().max() / 4


def test_an_overflow_of_scaled_gradients_is_survived() -> None:
    model = of_pipeline(tiny.stable_diffusion().to(torch.float16), "half")
    seen: list[int] = []
    plain = pictures(model)

    def loss(draw: Draw) -> Tensor:
        seen.append(draw.step)
        return plain(draw)

    found = tuned(model, 2, terms={"concept": Term(loss=loss, weight=1e5)})
    assert all(delta.isfinite().all() for delta in found.deltas.values())
    assert seen.count(0) > 1  # the first step was taken again at a smaller scale
    assert len(found.curves["concept"]) == 2


def refusals() -> dict[str, tuple[Callable[[Any], object], str]]:
    return {
        "no step": (lambda m: tuned(m, 0), "steps"),
        "no term": (lambda m: finetune(m, "denoiser", {}, steps=1, optimiser=FAST), "term"),
        "no weight": (lambda m: tuned(m, selector=()), "at least one weight"),
        "lr": (lambda m: Optimiser(lr=0), "lr > 0"),
        "clip": (lambda m: Optimiser(lr=1, clip=0), "clip > 0"),
        "ema": (lambda m: Optimiser(lr=1, ema=1), r"\[0, 1\)"),
        "rank": (lambda m: LowRank(rank=0), "rank >= 1"),
    }


@pytest.mark.parametrize("case", refusals())
def test_mistakes_are_said(model: Any, case: str) -> None:
    act, message = refusals()[case]
    with pytest.raises(BadSetting, match=message):
        act(model)


def test_every_example_comes_once_before_any_comes_twice() -> None:
    def rows(step: int, **other: Any) -> list[int]:
        return Draw(**{"seed": 1, "term": "a", "step": step, **other}).rows(7, 3).tolist()

    first = [row for step in range(7) for row in rows(step)]
    for epoch in range(3):
        assert sorted(first[7 * epoch : 7 * epoch + 7]) == list(range(7))
    assert first[:7] != first[7:14]
    assert rows(2) == rows(2)
    others = [[r for s in range(3) for r in rows(s, **o)] for o in ({"seed": 2}, {"term": "b"})]
    assert first[:9] not in others
    assert Draw(seed=1, term="a", step=0).rows(2, 5).tolist().count(0) in (2, 3)
