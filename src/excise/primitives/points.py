"""Points at which a network is asked, and the base's answers there, found before any training.

A method that trains towards what the unedited model predicts needs that model beside the one in
training. Asking it beforehand, at all points at once, costs no second copy of the weights, runs in
large batches, and can be kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from excise.errors import BadSetting
from excise.models.drawing import batch_size
from excise.primitives.finetune import Draw, Loss
from excise.primitives.losses import distill_loss, draw_levels
from excise.progress import SILENT, Progress, stage
from excise.rng import generator
from excise.types import (
    Condition,
    Denoise,
    Hook,
    Request,
    Samples,
    State,
    Step,
    TextToImage,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Points:
    """Where a network is asked.

    x: noisy latents (n, c, h, w), float32, on the CPU. u: noise levels (n,). row: int64 (n,),
    which of a list of prompts a point belongs to.
    """

    x: Tensor
    u: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.u)

    def take(self, rows: Tensor) -> Points:
        """Some of the points."""
        return Points(x=self.x[rows], u=self.u[rows], row=self.row[rows])

    def tensors(self) -> dict[str, Tensor]:
        """To be kept; ``Points(**tensors)`` makes it again."""
        return {"x": self.x, "u": self.u, "row": self.row}


def on_the_way(
    model: TextToImage,
    request: Request,
    keep: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Points:
    """What the network reads at ``keep`` steps, drawn for each picture, of drawing a request.

    The model's own sampler is walked once; ``row`` is the picture. All steps are kept if there are
    no more than ``keep``. In the order of the steps, then of the pictures.
    """
    return walked(model, request, keep, seed=seed, progress=progress)[0]


def walked(
    model: TextToImage,
    request: Request,
    keep: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Points, Samples]:
    """As `on_the_way`, with the pictures at which the walks end."""
    if keep < 1:
        raise BadSetting(f"expected to keep at least one step a picture, got {keep}")
    notes = _Notes(keep=keep, seed=seed, seen={}, found=[])
    told = stage(progress or SILENT, "draw starting points")
    with told, model.hooked([notes]), torch.no_grad():
        samples = model.generate(request)
    found = sorted(notes.found, key=lambda part: part[0])
    points = Points(
        x=torch.cat([x for _, _, x, _ in found]),
        u=torch.cat([torch.full((len(x),), u) for _, u, x, _ in found]),
        row=torch.cat([row for _, _, _, row in found]),
    )
    return points, samples


@dataclass(frozen=True, eq=False, kw_only=True)
class _Notes(Hook):
    """Writes down what passes; it stands around a walk of its own only, so it may remember."""

    keep: int
    seed: int
    seen: dict[int, int]  # by step, how many pictures have passed it
    found: list[tuple[int, float, Tensor, Tensor]]  # step, level, x, pictures

    def prediction(
        self,
        model: TextToImage,
        denoise: Denoise,
        x: Tensor,
        step: Step,
        cond: Condition,
        null: Condition | None,
        state: State,
    ) -> tuple[Tensor, State]:
        first = self.seen.get(step.index, 0)
        self.seen[step.index] = first + len(x)
        wanted = [i for i in range(len(x)) if step.index in self._steps(first + i, step.total)]
        if wanted:
            pictures = torch.tensor(wanted) + first
            self.found.append((step.index, step.u, x[wanted].float().cpu(), pictures))
        return super().prediction(model, denoise, x, step, cond, null, state)

    def _steps(self, picture: int, total: int) -> set[int]:
        order = torch.randperm(total, generator=generator("on the way", self.seed, picture))
        return set(order[: self.keep].tolist())


def noised(
    model: TextToImage,
    latents: Tensor,
    n: int,
    *,
    seed: int = 0,
    window: tuple[float, float] = (0.0, 1.0),
) -> Points:
    """Pictures (latents, (m, c, h, w)) in turn, under fresh noise; ``row`` is the picture."""
    numbers = generator("noised", seed)
    row = torch.arange(n) % len(latents)
    x0 = latents[row].float().to(model.device)
    eps = torch.randn(x0.shape, generator=numbers).to(model.device)
    u = draw_levels(model, n, numbers, window)
    u = u[torch.randperm(n, generator=numbers).to(u.device)]  # levels apart from pictures
    return Points(x=model.noise(x0, eps, u).cpu(), u=u.cpu(), row=row)


@torch.no_grad()
def answers(
    model: TextToImage,
    points: Points,
    conditions: Condition,
    *,
    progress: Progress | None = None,
) -> Tensor:
    """The model's native predictions (n, c, h, w) at the points, float32, on the CPU.

    conditions: one row for all points, or a row for each value of ``points.row``.
    """
    size = batch_size(*points.x.shape[-2:])
    found = []
    with stage(progress or SILENT, "ask the model", math.ceil(len(points) / size), "batch") as told:
        for first in range(0, len(points), size):
            rows = torch.arange(first, min(first + size, len(points)))
            x, u, cond = _at(model, points, conditions, rows)
            found.append(model.predict(x, u, cond).float().cpu())
            told.advance()
    return torch.cat(found)


def towards(
    model: TextToImage, points: Points, conditions: Condition, target: Tensor, *, batch: int
) -> Loss:
    """A term: the distance of the model's predictions to a target (n, c, h, w), points in turn.

    conditions: as in `answers`.
    """
    fixed = conditions.detach()

    def loss(draw: Draw) -> Tensor:
        rows = draw.rows(len(points), batch)
        x, u, cond = _at(model, points, fixed, rows)
        return distill_loss(model, x, u, cond, target[rows].to(x)).mean()

    return loss


def _at(
    model: TextToImage, points: Points, conditions: Condition, rows: Tensor
) -> tuple[Tensor, Tensor, Condition]:
    cond = conditions if len(conditions) == 1 else conditions[points.row[rows]]
    return points.x[rows].to(model.device), points.u[rows].to(model.device), cond.expand(len(rows))
