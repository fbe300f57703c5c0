from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import trained
from tests.suite import two
from torch import Tensor

from excise.errors import BadSetting, NumericalError
from excise.primitives.adversary import Adversary, as_now
from excise.primitives.data import empty
from excise.primitives.finetune import Draw, Optimiser, finetune
from excise.primitives.spaces import space_for
from excise.store import Stages
from excise.types import Condition

TEMPLATE = "a picture of <1>"


def latents() -> Tensor:
    return trained.world().latents["cat"]


def unchanged(x: Tensor, u: Tensor, condition: Condition, numbers: Any) -> Tensor:
    """What the model of the tests says as it is."""
    with torch.no_grad():
        found: Tensor = two.model().predict(x, u, condition)
    return found


def follower(name: Any = "token", **settings: Any) -> Adversary:
    model = two.model()
    own = {"wanted": unchanged, "inputs": 3, "lr": 0.1, "lasting": 6, "seed": 5, **settings}
    return Adversary(model, [space_for(model, name, template=TEMPLATE, tokens=2)], latents(), **own)


def draw(step: int) -> Draw:
    return Draw(seed=0, term="against", step=step)


@pytest.mark.parametrize("name", ["token", "condition"])
@pytest.mark.slow
def test_what_is_wanted_trains_the_model_and_the_pictures_move_the_inputs(name: Any) -> None:
    model = two.model()
    one = follower(name)
    before = {key: value.clone() for key, value in one.values.items()}
    with model.trainable("denoiser") as live:
        loss = one.loss(draw(0))
        assert float(loss.detach()) == pytest.approx(0.0, abs=1e-10)  # it says what is wanted
        assert all(weight.grad is None for weight in live.values())  # the inputs' step left none
        loss.backward()
        assert sum(float(weight.grad.abs().sum()) for weight in live.values()) < 1e-3
    assert all(not torch.equal(value, before[key]) for key, value in one.values.items())
    assert all(not value.requires_grad for value in one.values.values())


@pytest.mark.slow
def test_on_a_model_at_rest_the_inputs_come_to_bring_the_pictures_out() -> None:
    model = two.model()
    one = follower("condition", inputs=4, lr=0.05, lasting=1000)
    space = space_for(model, "condition", template=TEMPLATE)

    def error(values: Any) -> float:
        numbers = torch.Generator().manual_seed(3)
        x0 = latents()[torch.arange(64) % len(latents())]
        eps = torch.randn(x0.shape, generator=numbers)
        u = torch.arange(64) / 64
        cond = space.conditions(values)[torch.arange(64) % 4]
        with torch.no_grad():
            said = model.predict(model.noise(x0, eps, u), u, cond)
        return float((said - model.target(x0, eps, u)).square().mean())

    before = error(one.values)
    for step in range(60):
        one.loss(draw(step))
    assert error(one.values) < 0.9 * before


@pytest.mark.slow
def test_each_begins_anew_at_a_step_of_its_own_and_at_other_words() -> None:
    one = follower(lasting=6)
    seen: list[list[int]] = [[], [], []]
    (name,) = one.values
    kept = [one.values[name][i].clone() for i in range(3)]
    started = [[value] for value in kept]
    for step in range(14):
        one._renew(step)
        for i in range(3):
            now = one.values[name][i]
            if not torch.equal(now, kept[i]):
                seen[i].append(step)
                kept[i] = now.clone()
                started[i].append(kept[i])
    assert seen == [[6, 12], [4, 10], [2, 8]]
    every = [value for row in started for value in row]
    assert len({value.numpy().tobytes() for value in every}) == len(every)


@pytest.mark.slow
def test_a_fine_tune_against_it_goes_on_after_a_kill_to_the_same_bytes(tmp_path: Any) -> None:
    model = two.model()
    null = empty(model)
    base = as_now(model, {})

    def unasked(x: Tensor, u: Tensor, condition: Condition, numbers: Any) -> Tensor:
        return base(x, u, null.expand(len(u)))

    def run(stage: Any, steps_before_a_kill: int | None = None) -> Any:
        one = follower(wanted=unasked, lasting=4)
        term = one.term()
        if steps_before_a_kill is not None:
            inner = term.loss

            def dying(now: Draw) -> Tensor:
                if now.step >= steps_before_a_kill:
                    raise KeyboardInterrupt
                return inner(now)

            object.__setattr__(term, "loss", dying)
        return finetune(
            model, "denoiser", {"against": term}, steps=9,
            optimiser=Optimiser(lr=1e-3), stage=stage,
        )  # fmt: skip

    whole = run(Stages(tmp_path / "whole").stage("heal", 0))
    stages = Stages(tmp_path / "killed", every_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        run(stages.stage("heal", 0), steps_before_a_kill=5)
    again = run(stages.stage("heal", 0))
    assert again.curves == whole.curves
    for name, delta in whole.deltas.items():
        assert torch.equal(delta, again.deltas[name])
    curve = whole.curves["against"]
    assert sum(curve[-3:]) < sum(curve[:3])


@pytest.mark.slow
def test_what_was_said_before_is_said_again_while_the_model_is_another() -> None:
    model = two.model()
    x = torch.randn(3, *latents().shape[1:], generator=torch.Generator().manual_seed(1))
    u = torch.tensor([0.2, 0.5, 0.9])
    cond = model.encode("a cat").expand(3)
    name = next(iter(model.parameters("denoiser")))
    delta = {name: torch.full(model.parameters("denoiser")[name].shape, 0.3)}
    with torch.no_grad():
        plain = model.predict(x, u, cond)
        with model.swapped(delta):
            moved = model.predict(x, u, cond)
    said = [as_now(model, {}), as_now(model, delta)]
    noise = {n: 0.1 * torch.ones(w.shape) for n, w in model.parameters("denoiser").items()}
    with model.swapped(noise):
        assert torch.allclose(said[0](x, u, cond), plain, atol=1e-5)
        assert torch.allclose(said[1](x, u, cond), moved, atol=1e-5)
    assert not torch.allclose(plain, moved, atol=1e-3)


def test_settings_out_of_range_and_numbers_that_are_none() -> None:
    for wrong in ({"inputs": 0}, {"lr": 0.0}, {"samples": 0}, {"lasting": 0}):
        with pytest.raises(BadSetting, match="at least one input"):
            follower(**wrong)
    one = follower()
    lost = {name: torch.full_like(value, float("nan")) for name, value in one.values.items()}
    with pytest.raises(NumericalError, match="follow the model"):
        one._step(0, lost)
