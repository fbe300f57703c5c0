"""The losses that fine-tuning minimises, as functions, and as the terms of a fine-tune."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from excise.errors import BadSetting
from excise.primitives.denoising import Weighting, level_weights, losses
from excise.primitives.finetune import Draw, Loss
from excise.types import Condition, Prompt, TextToImage

Caption = Callable[[Tensor, torch.Generator], Condition]
"""The captions of pictures: rows (n,) of the set of pictures, and numbers to draw, to n rows."""


def denoising_loss(
    model: TextToImage,
    latents: Tensor,
    condition: Condition,
    eps: Tensor,
    u: Tensor,
    *,
    weighting: Weighting = "uniform",
    gamma: float = 5.0,
) -> Tensor:
    """The weighted denoising loss of each row (n,), in the family's native target.

    latents, eps: (n, c, h, w). u: (n,) in [0, 1]. weighting: ``uniform`` in the native prediction
    (Ho et al. 2020, arXiv:2006.11239, eq. 14), or ``min_snr`` (Hang et al. 2023,
    arXiv:2303.09556).
    """
    weights = level_weights(model, u, weighting, gamma)
    return weights * losses(model, latents, eps, u, condition)


def distill_loss(
    model: TextToImage, x: Tensor, u: Tensor, condition: Condition, target: Tensor
) -> Tensor:
    """Mean square distance (n,) of the native prediction at noisy latents x to a given one.

    With the base's own predictions as the target it holds a model in place; with a mixture of
    them whose weights sum to one it moves the model to that mixture, in every family alike.
    """
    return (model.predict(x, u, condition) - target).float().square().mean(dim=(1, 2, 3))


def draw_levels(
    model: TextToImage,
    n: int,
    generator: torch.Generator,
    window: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """Noise levels (n,), float32, uniform in the window: one start, then equal distances.

    Spread like this, a batch's mean loss varies less than with independent levels (Kingma et al.
    2021, arXiv:2107.00630, appendix I.1).
    """
    low, high = window
    if not 0 <= low < high <= 1:
        raise BadSetting(f"expected a window of levels in [0, 1], got {window}")
    start = torch.rand(1, generator=generator)
    places = (start + torch.arange(n) / n) % 1.0  # (n,)
    return (low + (high - low) * places).to(model.device)


def picture_errors(
    model: TextToImage,
    latents: Tensor,
    caption: Caption,
    *,
    batch: int,
    weighting: Weighting = "uniform",
    window: tuple[float, float] = (0.0, 1.0),
) -> Loss:
    """The denoising loss (batch,) of pictures that come in turn, as a function of a draw.

    The step decides pictures, captions, noise and levels, so two methods with the same seed, term
    and pictures see the same batches.
    """

    def errors(draw: Draw) -> Tensor:
        numbers = draw.generator
        rows = draw.rows(len(latents), batch)
        x0 = latents[rows].to(model.device)  # (batch, c, h, w)
        eps = torch.randn(x0.shape, generator=numbers).to(model.device)
        u = draw_levels(model, batch, numbers, window)
        return denoising_loss(model, x0, caption(rows, numbers), eps, u, weighting=weighting)

    return errors


def relabelled(
    model: TextToImage,
    latents: Tensor,
    caption: Caption,
    other: Caption | None,
    *,
    batch: int,
) -> Loss:
    """How far (batch,) noised pictures under a caption are from the same under another caption.

    ``||p(x_t, c) - stopgrad p(x_t, c')||^2`` in the native prediction, of one network, the one in
    training, on both sides: the model-based objective of Kumari et al. 2023 (arXiv:2303.13516,
    section 3), and the forgetting term of Fan et al. 2023 (arXiv:2310.12508, section 4).

    other: None takes the pictures themselves, the noise-based objective: a plain denoising loss.
    """

    def errors(draw: Draw) -> Tensor:
        numbers = draw.generator
        rows = draw.rows(len(latents), batch)
        x0 = latents[rows].to(model.device)  # (batch, c, h, w)
        eps = torch.randn(x0.shape, generator=numbers).to(model.device)
        u = draw_levels(model, batch, numbers)
        x = model.noise(x0, eps, u)
        with torch.no_grad():
            target = (
                model.target(x0, eps, u)
                if other is None
                else model.predict(x, u, other(rows, numbers))
            )
        return distill_loss(model, x, u, caption(rows, numbers), target)

    return errors


def one_caption(condition: Condition) -> Caption:
    """The same caption, a condition of one row, for every picture."""
    fixed = condition.detach()
    return lambda rows, numbers: fixed.expand(len(rows))


def own_captions(conditions: Condition) -> Caption:
    """Each picture's own caption, one row a picture."""
    fixed = conditions.detach()
    return lambda rows, numbers: fixed[rows]


def prompt_captions(model: TextToImage, prompts: Sequence[Prompt]) -> Caption:
    """Each picture's own prompt, one a picture; equal prompts are encoded and kept once."""
    places = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    fixed = model.encode(tuple(places)).detach()
    place = torch.tensor([places[prompt] for prompt in prompts])
    return lambda rows, numbers: fixed[place[rows]]


def mean(errors: Loss, *, sign: float = 1.0, ceiling: float | None = None) -> Loss:
    """A term's scalar from errors (n,): their mean, times a sign, none counted above a ceiling."""

    def loss(draw: Draw) -> Tensor:
        values = errors(draw)
        return sign * (values if ceiling is None else values.clamp(max=ceiling)).mean()

    return loss
