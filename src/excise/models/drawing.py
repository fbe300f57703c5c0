"""Requests to pictures. Work is cut into batches by a rule that the request alone decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import UserError
from excise.models.sampler import Schedule, Walk, sample
from excise.rng import noise
from excise.types import Condition, Defaults, Request, Samples, Start

if TYPE_CHECKING:
    from excise.models.base import DiffusionModel


def resolved(request: Request, defaults: Defaults) -> Request:
    """The request with everything filled in that it left to the model."""
    return replace(
        request,
        steps=defaults.steps if request.steps is None else request.steps,
        guidance=guidance_of(request, defaults),
        scheduler=defaults.scheduler if request.scheduler is None else request.scheduler,
    )


def guidance_of(request: Request, defaults: Defaults) -> float:
    """The request's guidance, or the model's own."""
    return defaults.guidance if request.guidance is None else request.guidance


def batch_size(height: int, width: int) -> int:
    """Pictures drawn at once, from the size of the latents: 64 at 8x8, 4 at 64x64, 1 at 128x128."""
    return min(64, max(1, 16384 // (height * width)))


def generate(model: DiffusionModel, request: Request) -> Samples:
    """Pictures as uint8, with their latents and the resolved request."""
    request = resolved(request, model.defaults)
    with torch.no_grad(), model.evaluating(), _edited(model, request):
        latents = torch.cat(list(_batches(model, request)))
        size = batch_size(*latents.shape[-2:])
        pictures = torch.cat([_uint8(model.decode(part)) for part in torch.split(latents, size)])
    model.counter.drawn(len(pictures))
    return Samples(pictures=pictures.cpu(), request=request, latents=latents.cpu())


def rollout(model: DiffusionModel, request: Request, last: int) -> Tensor:
    """Clean latents (n, c, h, w), with gradients through the last ``last`` steps."""
    request = resolved(request, model.defaults)
    with model.evaluating(), _edited(model, request):
        return torch.cat(list(_batches(model, request, gradients=last)))


def partial(model: DiffusionModel, request: Request, stop: int) -> tuple[Tensor, float]:
    """What the network reads at step ``stop``, without gradients, and the noise level there."""
    request = resolved(request, model.defaults)
    schedule = model.schedule(request, request.seeds[:1])
    first, total = _first(request.start, schedule), len(schedule.levels)
    if not first <= stop < total:
        raise UserError(f"expected a step in {first} .. {total - 1}, got {stop}")
    with torch.no_grad(), model.evaluating(), _edited(model, request):
        return torch.cat(list(_batches(model, request, stop=stop))), schedule.levels[stop]


def _batches(
    model: DiffusionModel,
    request: Request,
    *,
    gradients: int | None = None,
    stop: int | None = None,
) -> Iterator[Tensor]:
    n = len(request)
    shape = model.latents_for(request.size)
    cond, null = model.conditions(
        request.prompts, request.negative, request.condition, size=request.size
    )
    terms = [
        (model.conditions(term.prompts, request.negative, size=request.size)[0], term.weight)
        for term in request.terms
    ]
    size = batch_size(*shape[1:])
    for i in range(0, n, size):
        rows = list(range(i, min(i + size, n)))
        yield _draw(
            model,
            request,
            rows,
            _take(cond, rows),
            None if null is None else _take(null, rows),
            tuple((_take(term, rows), weight) for term, weight in terms),
            gradients,
            stop,
        )


def _draw(
    model: DiffusionModel,
    request: Request,
    rows: list[int],
    cond: Condition,
    null: Condition | None,
    terms: tuple[tuple[Condition, float], ...],
    gradients: int | None,
    stop: int | None,
) -> Tensor:
    """One batch of latents (rows, c, h, w), in float32."""
    seeds = [request.seeds[row] for row in rows]
    eps = request.noise_scale * noise(seeds, model.latents_for(request.size), device=model.device)
    schedule = model.schedule(request, seeds)
    start, keep = request.start, None
    first = _first(start, schedule)
    schedule.begin(first)
    x = schedule.from_noise(eps)
    if start is not None:
        x0 = _start_latents(model, start, rows).expand(len(rows), -1, -1, -1)
        if start.level < 1:
            x = schedule.from_data(x0, eps, first)
        if start.mask is not None:
            mask = _pick(start.mask, rows).to(eps)
            keep = (x0, eps, F.interpolate(mask, eps.shape[-2:], mode="area"))
    walk = Walk(
        guidance=guidance_of(request, model.defaults),
        terms=terms,
        first=first,
        stop=stop,
        gradients=gradients,
        keep=keep,
    )
    return sample(model.denoise, schedule, x, cond, null, walk)


def _first(start: Start | None, schedule: Schedule) -> int:
    return 0 if start is None or start.level == 1 else schedule.at(start.level)


def _start_latents(model: DiffusionModel, start: Start, rows: list[int]) -> Tensor:
    if start.pictures is not None:
        return model.encode_pictures(_pick(start.pictures, rows))
    if start.latents is not None:
        return _pick(start.latents, rows).to(model.device, torch.float32)
    raise UserError("expected a start with either latents or pictures, got neither")


def _pick(value: Tensor, rows: list[int]) -> Tensor:
    return value if len(value) == 1 else value[rows]


def _take(condition: Condition, rows: list[int]) -> Condition:
    return condition.expand(len(rows)) if len(condition) == 1 else condition[rows]


def _uint8(pictures: Tensor) -> Tensor:
    return (pictures * 255).round().to(torch.uint8)


def _edited(model: DiffusionModel, request: Request) -> AbstractContextManager[Any]:
    return nullcontext() if request.edit is None else request.edit.applied(model)
