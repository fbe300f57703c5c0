"""One training loop for every network of the embedded world.

The batch of a step depends on (seed, step) alone, so a training that was killed goes on to the same
weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from excise.models.precision import fast_bfloat16
from excise.store import load_tensors, save_tensors

Loss = Callable[[int, np.random.Generator], torch.Tensor]
Log = Callable[[str], None]

SAVE_EVERY = 240.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast: `steps` of AdamW, linear warm-up, cosine decay to `floor` of `lr`."""

    steps: int
    lr: float
    warmup: int = 300
    floor: float = 0.02
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    ema: float = 0.999

    def rate(self, step: int) -> float:
        """The learning rate at `step`."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        part = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * part)))


def device() -> torch.device:
    """A GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def fast_math(enabled: bool = True) -> Iterator[None]:
    """bf16 autocast where the hardware has it; elsewhere it would be emulated and slower."""
    kind = device().type
    has = torch.cuda.is_available() or fast_bfloat16(device())
    with torch.autocast(kind, torch.bfloat16, enabled=enabled and has):
        yield


class Taught(Protocol):
    """A part of a training: whatever else it says, how long and how fast."""

    @property
    def schedule(self) -> Schedule:
        """How long and how fast."""


def in_turn(
    module: nn.Module,
    lessons: Sequence[Taught],
    losses: Callable[[int], Loss],
    *,
    seed: int,
    state: Path,
    log: Log,
    shared: tuple[int, Path] | None = None,
) -> nn.Module:
    """Train with one lesson after the other; each begins at the average that the last one left.

    losses: of a lesson by its number; only asked for where there is something left to do.
    state: of all of them: the number is added to its name. shared: how many lessons are taken
    together with other trainings, and the state of those.
    """
    for number, lesson in enumerate(lessons):
        kept = shared[1] if shared is not None and number < shared[0] else state
        own = kept.with_name(f"{kept.stem}-{number + 1}{kept.suffix}")
        loss = _nothing if finished(own, lesson.schedule) else losses(number)
        fit(module, loss, lesson.schedule, seed=seed + number, state=own, log=log)
    return module


def _nothing(step: int, rng: np.random.Generator) -> torch.Tensor:
    raise RuntimeError("a finished lesson is not trained further")


def fit(
    module: nn.Module,
    loss: Loss,
    schedule: Schedule,
    *,
    seed: int,
    state: Path,
    log: Log,
) -> nn.Module:
    """Train `module` in place and leave the moving average of its weights in it.

    `loss(step, rng)` returns a scalar. The state (weights, average, optimiser, step) is written to
    `state` every few minutes and read from there when it exists. Raises FloatingPointError when the
    loss is not finite.
    """
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    average = {n: p.detach().clone() for n, p in parameters.items()}
    optimiser = torch.optim.AdamW(
        list(parameters.values()),
        lr=schedule.lr,
        betas=schedule.betas,
        weight_decay=schedule.weight_decay,
        foreach=True,
    )
    first = _restore(state, parameters, average, optimiser) if state.exists() else 0
    module.train()
    saved, told, seen, shown = time.monotonic(), time.monotonic(), first, 0.0
    for step in range(first, schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        value = loss(step, np.random.default_rng((seed, step)))
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(list(parameters.values()), schedule.clip)
        optimiser.step()
        decay = min(schedule.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.values()), list(parameters.values()), 1 - decay)
        shown = (
            float(value.detach()) if step == first else 0.98 * shown + 0.02 * float(value.detach())
        )
        if not math.isfinite(shown):
            raise FloatingPointError(f"loss is {shown} at step {step}; lower the learning rate")
        now = time.monotonic()
        if now - told > 20:
            rate = (step + 1 - seen) / (now - told)
            left = (schedule.steps - step) / rate / 60
            log(
                f"step {step + 1}/{schedule.steps} loss {shown:.4f} "
                f"{rate:.2f}/s {left:.0f} min left"
            )
            told, seen = now, step + 1
        if now - saved > SAVE_EVERY:
            _save(state, parameters, average, optimiser, step + 1)
            saved = now
    if first < schedule.steps:
        _save(state, parameters, average, optimiser, schedule.steps)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(average[name])
    module.eval()
    return module


def finished(state: Path, schedule: Schedule) -> bool:
    """Has a training with this state taken all of its steps?"""
    return state.exists() and int(load_tensors(state)[0]["step"]) >= schedule.steps


def _save(
    state: Path,
    parameters: dict[str, nn.Parameter],
    average: dict[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
    step: int,
) -> None:
    tensors = {"step": torch.tensor(step)}
    for name, parameter in parameters.items():
        tensors[f"weight/{name}"] = parameter.detach()
        tensors[f"average/{name}"] = average[name]
        for key in ("exp_avg", "exp_avg_sq"):
            tensors[f"{key}/{name}"] = optimiser.state[parameter][key]
    save_tensors(state, {k: v.cpu().contiguous() for k, v in tensors.items()})


def _restore(
    state: Path,
    parameters: dict[str, nn.Parameter],
    average: dict[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
) -> int:
    tensors, _ = load_tensors(state)
    step = int(tensors["step"])
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"weight/{name}"])
            average[name].copy_(tensors[f"average/{name}"])
            optimiser.state[parameter] = {
                "step": torch.tensor(float(step)),
                **{
                    key: tensors[f"{key}/{name}"].to(parameter.device).clone()
                    for key in ("exp_avg", "exp_avg_sq")
                },
            }
    return step
