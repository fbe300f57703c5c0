"""Drawing: a scheduler of diffusers walks from noise to data, and asks ``denoise`` at each step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor

from excise.errors import Unsupported, unknown
from excise.models.process import Process
from excise.models.quiet import quietly
from excise.rng import generator
from excise.types import Condition, Denoise, State, Step

# What may stand in a request, by kind of process; "default" is the pipeline's own.
DISCRETE: Mapping[str, str] = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "lms": "LMSDiscreteScheduler",
    "pndm": "PNDMScheduler",
    "unipc": "UniPCMultistepScheduler",
}
FLOW: Mapping[str, str] = {"euler": "FlowMatchEulerDiscreteScheduler"}
# What of a pipeline's configuration describes the noise that its network was trained on; the rest
# describes the pipeline's own scheduler.
NOISE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
    "set_alpha_to_one",
    "steps_offset",
)
# Latents are not confined to [-1, 1]. PNDM's Runge-Kutta start, nine evaluations more, is not what
# pipelines mean by it.
FIXED = {"clip_sample": False, "skip_prk_steps": True}


class Schedule:
    """A scheduler of its own for one batch: stateful, used once, never the pipeline's.

    eta, eta_scale: as in a request; they need DDIM.
    """

    def __init__(
        self,
        scheduler: Any,
        process: Process,
        seeds: Sequence[int],
        steps: int,
        *,
        eta: float | None = None,
        eta_scale: float = 1.0,
        **timesteps: Any,
    ) -> None:
        self._takes = inspect.signature(scheduler.step).parameters
        if eta is not None and "eta" not in self._takes:
            raise Unsupported(
                f"expected the scheduler ddim for a request with eta, got "
                f"{type(scheduler).__name__}; set scheduler to ddim, or eta to None"
            )
        self._scheduler, self._process = scheduler, process
        self._eta, self._eta_scale = eta, eta_scale
        with quietly():
            self._scheduler.set_timesteps(steps, **timesteps)
        self._timesteps: Tensor = scheduler.timesteps
        # Schedulers that add noise on the way draw each picture's from its own seed.
        self._noise = [generator("noise on the way", seed) for seed in seeds]
        self.levels = [process.level(float(t)) for t in self._timesteps]

    def begin(self, first: int) -> None:
        """Say, before anything else, at which step drawing begins."""
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(first)

    def at(self, level: float) -> int:
        """The first step that is no noisier than a level; the last if all are."""
        below = (i for i, u in enumerate(self.levels) if u <= level + 1e-6)
        return next(below, len(self.levels) - 1)

    def from_noise(self, noise: Tensor) -> Tensor:
        """The scheduler's x of standard normal noise at its first step."""
        return noise * float(getattr(self._scheduler, "init_noise_sigma", 1.0))

    def from_data(self, x0: Tensor, noise: Tensor, index: int) -> Tensor:
        """The scheduler's x of noised data at a step."""
        timesteps = self._timesteps[index : index + 1].expand(len(x0))
        add = getattr(self._scheduler, "scale_noise", None)
        if add is not None:  # flow matching
            return _tensor(add(x0, timesteps, noise))
        return _tensor(self._scheduler.add_noise(x0, noise, timesteps))

    def step(self, index: int, total: int) -> Step:
        """Where a step stands, without guidance."""
        t = float(self._timesteps[index])
        return Step(u=self.levels[index], timestep=t, index=index, total=total)

    def network_input(self, x: Tensor, index: int) -> Tensor:
        """What the network reads of the scheduler's x, which may be scaled otherwise."""
        scale = getattr(self._scheduler, "scale_model_input", None)
        return x if scale is None else _tensor(scale(x, self._timesteps[index]))

    def advance(self, prediction: Tensor, x: Tensor, index: int) -> Tensor:
        """The scheduler's x at the next step."""
        if self._eta is not None:
            return self._stirred(prediction, x, index, self._eta)
        noise = {"generator": self._noise} if "generator" in self._takes else {}
        return _tensor(
            self._scheduler.step(prediction, self._timesteps[index], x, return_dict=False, **noise)[
                0
            ]
        )

    def _stirred(self, prediction: Tensor, x: Tensor, index: int, eta: float) -> Tensor:
        """A step of DDIM with eta of any size (arXiv:2010.02502, eq. 12 and 16).

        x' = sqrt(a') x0 + sqrt(|1 - a' - s^2|) eps + scale s z, with
        s = eta sqrt((1 - a') / (1 - a)) sqrt(1 - a / a'); a and a' are abar at this step and at
        the next. Above eta = 1 the root's argument may be negative; its absolute value is what the
        authors of arXiv:2505.17013 take.
        """
        own, t = self._scheduler, int(self._timesteps[index])
        after = t - own.config.num_train_timesteps // own.num_inference_steps
        a = float(own.alphas_cumprod[t])
        b = float(own.alphas_cumprod[after] if after >= 0 else own.final_alpha_cumprod)
        sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)) ** 0.5
        x0 = self._process.to_x0(x, prediction, self.levels[index])
        eps = self._process.to_eps(x, prediction, self.levels[index])
        z = torch.stack([torch.randn(x.shape[1:], generator=g) for g in self._noise])
        ahead = b**0.5 * x0 + abs(1 - b - sigma**2) ** 0.5 * eps
        return _tensor(ahead + self._eta_scale * sigma * z.to(x))


def scheduler(name: str, config: Mapping[str, Any], own: type, known: Mapping[str, str]) -> Any:
    """A fresh scheduler by name, with the noise schedule of a pipeline's configuration."""
    if name not in ("default", *known):
        raise unknown("scheduler", name, ["default", *known])
    kind: Any = own if name == "default" else getattr(import_module("diffusers"), known[name])
    return fresh(kind, config if kind is own else noise_of(config))


def noise_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What another scheduler needs to know of a pipeline's."""
    return {**{key: config[key] for key in NOISE if key in config}, **FIXED}


def fresh(kind: Any, config: Mapping[str, Any]) -> Any:
    """A scheduler from a configuration, the same whether that was built or read from a file.

    A configuration that was built names the values nobody chose, which diffusers would replace.
    """
    with quietly():
        return kind.from_config({k: v for k, v in config.items() if k != "_use_default_values"})


@dataclass(frozen=True, eq=False, kw_only=True)
class Walk:
    """What to do on the way, beside the condition.

    first: the step to begin at. stop: the step to stop before, None for the end.
    gradients: how many of the last steps gradients flow through; None leaves that to the caller.
    keep: (x0, noise, mask): where the mask is 0, x is put back onto the noised x0 at each step.
    """

    guidance: float
    terms: tuple[tuple[Condition, float], ...] = ()
    first: int = 0
    stop: int | None = None
    gradients: int | None = None
    keep: tuple[Tensor, Tensor, Tensor] | None = None


def sample(
    denoise: Denoise,
    schedule: Schedule,
    x: Tensor,
    cond: Condition,
    null: Condition | None,
    walk: Walk,
) -> Tensor:
    """Clean latents; with a stop, what the network would read at that step.

    x: the scheduler's x (n, c, h, w) at the first step.
    """
    total = len(schedule.levels)
    state: State | None = None
    differentiable = torch.is_grad_enabled()
    for i in range(walk.first, total):
        if i == walk.stop:
            return schedule.network_input(x, i)
        grad = differentiable and (walk.gradients is None or i >= total - walk.gradients)
        with torch.set_grad_enabled(grad):
            step = replace(schedule.step(i, total), guidance=walk.guidance, terms=walk.terms)
            prediction, state = denoise(schedule.network_input(x, i), step, cond, null, state)
            x = schedule.advance(prediction.float(), x, i)
            if walk.keep is not None:
                x0, noise, mask = walk.keep
                kept = x0 if i + 1 == total else schedule.from_data(x0, noise, i + 1)
                x = mask * x + (1 - mask) * kept
    return x


def _tensor(value: Any) -> Tensor:
    return cast(Tensor, value)
