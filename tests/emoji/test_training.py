"""A training that was killed goes on to the same bytes; the schedule is what it says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from excise.emoji import training
from excise.emoji.training import Schedule, fit
from excise.rng import generator
from excise.store import hash_tensors, sha256_file

SCHEDULE = Schedule(steps=12, lr=0.05, warmup=4, weight_decay=0.01, ema=0.9)


class Killed(BaseException):
    """As little to be caught as a signal."""


def run(state: Path, *, kill: int | None = None, seed: int = 3) -> nn.Module:
    """A regression on batches that the step alone decides."""
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator("start", i)) / 2)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        if step == kill:
            raise Killed
        x = torch.from_numpy(rng.standard_normal((16, 4), np.float32))
        value: Tensor = (module(x)[:, 0] - x[:, 0] * x[:, 1]).square().mean()
        return value

    return fit(module, loss, SCHEDULE, seed=seed, state=state, log=lambda text: None)


@pytest.mark.parametrize("kill", [0, 1, 7, 11])
def test_a_killed_training_goes_on_to_the_same_bytes(
    kill: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole.safetensors")
    monkeypatch.setattr(training, "SAVE_EVERY", -1.0)
    with pytest.raises(Killed):
        run(tmp_path / "cut.safetensors", kill=kill)
    assert (tmp_path / "cut.safetensors").exists() == (kill > 0)
    resumed = run(tmp_path / "cut.safetensors")
    assert hash_tensors(resumed.state_dict()) == hash_tensors(whole.state_dict())
    assert sha256_file(tmp_path / "cut.safetensors") == sha256_file(tmp_path / "whole.safetensors")


def test_a_finished_training_is_not_trained_further(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    first = run(path)
    again = run(path, kill=11)  # a step would raise
    assert hash_tensors(first.state_dict()) == hash_tensors(again.state_dict())


def test_other_seeds_see_other_batches(tmp_path: Path) -> None:
    first, second = (run(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (3, 4))
    assert hash_tensors(first.state_dict()) != hash_tensors(second.state_dict())


def test_what_stays_in_the_module_is_the_average(tmp_path: Path) -> None:
    module = run(tmp_path / "state.safetensors")
    from excise.store import load_tensors

    tensors, _ = load_tensors(tmp_path / "state.safetensors")
    for name, value in module.state_dict().items():
        assert torch.equal(value, tensors[f"average/{name}"])
        assert not torch.equal(value, tensors[f"weight/{name}"])
    assert int(tensors["step"]) == SCHEDULE.steps
    assert not module.training


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        return module(torch.ones(1, 1)).sum() * (float("nan") if step == 2 else 1.0)

    with pytest.raises(FloatingPointError, match="step 2"):
        fit(module, loss, SCHEDULE, seed=0, state=tmp_path / "s", log=lambda text: None)
    assert not (tmp_path / "s").exists()


@given(st.integers(1, 500), st.integers(1, 3000), st.floats(1e-6, 1.0))
def test_the_rate_rises_to_its_peak_and_falls_to_its_floor(
    warmup: int, steps: int, lr: float
) -> None:
    schedule = Schedule(steps=warmup + steps, lr=lr, warmup=warmup)
    rates = [schedule.rate(step) for step in range(schedule.steps + 1)]
    assert rates[0] == pytest.approx(lr / warmup)
    assert max(rates) == pytest.approx(lr)
    assert all(a <= b for a, b in pairwise(rates[:warmup]))
    assert all(a >= b for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    assert rates[-1] == pytest.approx(lr * schedule.floor)
