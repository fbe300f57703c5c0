"""Inputs that follow a model in training: the inner adversary of an erasure.

What a search finds on a model before it is trained says little of what a search will find
afterwards. So here the search goes on while the model is trained against it, as in AdvUnlearn
(Zhang et al. 2024, arXiv:2405.15234), at a part of the cost: one pass through the network gives the
gradients of both, as in Shafahi et al. 2019 (arXiv:1904.12843).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from excise.errors import BadSetting, NumericalError
from excise.primitives.denoising import Weighting, level_weights
from excise.primitives.finetune import Draw, Term
from excise.primitives.losses import draw_levels
from excise.primitives.spaces import Space
from excise.types import Condition, Selector, TextToImage

Said = Callable[[Tensor, Tensor, Condition], Tensor]
"""Native predictions (n, c, h, w), without gradients, at noisy latents (n, c, h, w) and levels (n,)
under conditions of n rows."""
Wanted = Callable[[Tensor, Tensor, Condition, torch.Generator], Tensor]
"""What a model is to say there, and numbers to draw."""


def as_now(
    model: TextToImage, deltas: Mapping[str, Tensor], selector: Selector = "denoiser"
) -> Said:
    """What a model says as it is now with some deltas, also when it has been trained further.

    Costs a copy of the weights that are selected: those that will be trained, or that have deltas.
    """
    live = model.parameters("*")
    names = {*model.parameters(selector), *deltas}
    fixed = {name: live[name].detach().float().clone() for name in names}
    for name, delta in deltas.items():
        fixed[name] += delta.to(fixed[name])

    @torch.no_grad()
    def said(x: Tensor, u: Tensor, condition: Condition) -> Tensor:
        now = model.parameters("*")
        back = {name: value - now[name].detach().float() for name, value in fixed.items()}
        with model.swapped(back):
            return model.predict(x, u, condition)

    return said


BETAS, EPS = (0.9, 0.999), 1e-8
WARMUP = 10


class Adversary:
    """``inputs`` that each try to bring pictures out of a model, a step for each of the model's.

    At a step every input meets ``samples`` of the pictures under fresh noise, and goes down its
    denoising loss by Adam. The model goes down the distance of the same predictions to what is
    ``wanted`` there. After ``lasting`` steps an input begins anew at other random words, each at
    another step, so that the model meets searches of every age.

    spaces: where they are searched for, all with the same values; steps go through them in turn,
        as through the texts that a soft token has to serve in. latents: (m, c, h, w) of the
        pictures. lr: in the unit of `Inverter`.
    """

    def __init__(
        self,
        model: TextToImage,
        spaces: Sequence[Space],
        latents: Tensor,
        wanted: Wanted,
        *,
        inputs: int,
        lr: float,
        samples: int = 2,
        lasting: int = 100,
        weighting: Weighting = "uniform",
        seed: int = 0,
    ) -> None:
        if not spaces or min(inputs, samples, lasting) < 1 or not lr > 0:
            raise BadSetting(
                "expected a space, lr > 0, and at least one input, sample and step, got "
                f"{len(spaces)} spaces, lr {lr}, {inputs}, {samples} and {lasting}"
            )
        self._model, self._spaces, self._latents, self._wanted = model, spaces, latents, wanted
        self._samples, self._lasting, self._weighting = samples, lasting, weighting
        self._lr, self._seed = lr, seed
        self._begun = torch.arange(inputs) * lasting // inputs  # how old each is at the first step
        self.values = spaces[0].start(range(inputs), seed, "", 0.0)
        self._moments = [
            {name: torch.zeros_like(value) for name, value in self.values.items()} for _ in BETAS
        ]

    def term(self, weight: float = 1.0) -> Term:
        """What a fine-tune minimises; it keeps the inputs with its checkpoints."""
        return Term(loss=self.loss, weight=weight, memory=self)

    def loss(self, draw: Draw) -> Tensor:
        """The model's mean square distance to what is wanted; the inputs have gone on by then."""
        self._renew(draw.step)
        numbers = draw.generator
        x0, x, u, eps, which = self._met(numbers)
        values = {name: v.detach().clone().requires_grad_() for name, v in self.values.items()}
        cond = self._spaces[draw.step % len(self._spaces)].conditions(values)
        with torch.no_grad():
            wanted = self._wanted(x, u, cond.detach()[which], numbers)
        said = self._model.predict(x, u, cond[which])
        errors = (said - self._model.target(x0, eps, u)).float().square().mean(dim=(1, 2, 3))
        errors = errors * level_weights(self._model, u, self._weighting)
        found = torch.autograd.grad(  # each input has its own rows, so a sum serves all of them
            errors.sum() / self._samples, list(values.values()), retain_graph=True
        )
        self._step(draw.step, dict(zip(values, found, strict=True)))
        return (said - wanted.to(said)).float().square().mean()

    def tensors(self) -> dict[str, Tensor]:
        """All that the next steps depend on besides the model."""
        kept = {f"value/{name}": value for name, value in self.values.items()}
        for number, moments in enumerate(self._moments, 1):
            kept |= {f"moment {number}/{name}": value for name, value in moments.items()}
        return kept

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on where `tensors` were taken."""
        for name, value in self.values.items():
            value.copy_(tensors[f"value/{name}"])
            for number, moments in enumerate(self._moments, 1):
                moments[name].copy_(tensors[f"moment {number}/{name}"])

    def _met(self, numbers: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Pictures and what they are under noise, levels, noises, and which input meets which."""
        inputs = len(self._begun)
        n = inputs * self._samples
        picture = torch.randint(len(self._latents), (n,), generator=numbers)
        x0 = self._latents[picture].float().to(self._model.device)
        eps = torch.randn(x0.shape, generator=numbers).to(x0)
        # Input by input, so that the levels of each are as far apart as its samples allow.
        u = draw_levels(self._model, n, numbers).view(self._samples, inputs).T.reshape(-1)
        which = torch.arange(inputs).repeat_interleave(self._samples)
        return x0, self._model.noise(x0, eps, u), u, eps, which

    @torch.no_grad()
    def _renew(self, step: int) -> None:
        """Begin anew with those whose time is over."""
        for i, begun in enumerate(self._begun.tolist()):
            times, age = divmod(step + begun, self._lasting)
            if step and not age:
                row = i + times * len(self._begun)
                for name, value in self._spaces[0].start([row], self._seed, "", 0.0).items():
                    self.values[name][i] = value[0]
                    for moments in self._moments:
                        moments[name][i] = 0.0

    @torch.no_grad()
    def _step(self, step: int, gradients: Mapping[str, Tensor]) -> None:
        """One step of Adam (Kingma and Ba 2015, algorithm 1), each input by its own age."""
        age = torch.minimum((step + self._begun) % self._lasting, torch.tensor(step)) + 1
        for name, gradient in gradients.items():
            value = self.values[name]
            if not bool(gradient.isfinite().all()):
                raise NumericalError(
                    f"expected finite gradients of the inputs that follow the model, got others at "
                    f"step {step + 1}; lower the learning rates, or load the model in float32"
                )
            own = age.to(value.device).view(-1, *[1] * (value.dim() - 1))
            first, second = (
                moments[name].lerp_(power, 1 - beta) / (1 - beta**own)
                for moments, power, beta in zip(
                    self._moments, (gradient, gradient.square()), BETAS, strict=True
                )
            )
            rate = self._lr * self._spaces[0].scale[name] * (own / WARMUP).clamp(max=1.0)
            value.sub_(rate * first / (second.sqrt() + EPS))
        self._spaces[0].project(self.values)
