"""The denoising loss: one term of it, its weights by noise level, and its value on a fixed bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from excise.errors import BadSetting, UserError
from excise.primitives.bands import at_levels
from excise.rng import generator, noise, seed_of
from excise.types import Condition, Hook, Prompt, Step, TextToImage, digest

Weighting = Literal["uniform", "min_snr"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Bank:
    """Fixed triples of picture, noise and level, on which losses are paired across models.

    picture: int64 (B,), rows of the latents that the bank was made for. eps: float32
    (B, c, h, w). u: float32 (B,), noise levels in [0, 1].
    """

    picture: Tensor
    eps: Tensor
    u: Tensor

    @staticmethod
    def of(
        latents: Tensor, size: int = 64, *, seed: int = 0, between: tuple[float, float] = (0.0, 1.0)
    ) -> Bank:
        """A bank over latents (n, c, h, w): levels at equal distances, pictures taken in turn.

        The j-th level is the middle of the j-th of ``size`` equal intervals, so that two banks of
        one size differ in pictures and noise alone. Each of the n pictures comes up equally often,
        to one.
        """
        if size < 1 or len(latents) < 1:
            raise UserError(f"expected a bank of >= 1 entry over >= 1 picture, got {size} over "
                            f"{len(latents)}")  # fmt: skip
        low, high = between
        order = torch.randperm(size, generator=generator("bank", seed))
        u = low + (high - low) * (torch.arange(size, dtype=torch.float32) + 0.5) / size
        seeds = [seed_of("bank", seed, j) for j in range(size)]
        return Bank(picture=order % len(latents), eps=noise(seeds, latents.shape[1:]), u=u)

    def __len__(self) -> int:
        return len(self.u)

    @property
    def digest(self) -> str:
        """SHA-256 of the pictures' numbers, the noise and the levels."""
        return digest(self.picture, self.eps, self.u)

    def take(self, index: Tensor | Sequence[int]) -> Bank:
        """Some of its entries."""
        i = torch.as_tensor(index, dtype=torch.int64)
        return Bank(picture=self.picture[i], eps=self.eps[i], u=self.u[i])


def level_weights(
    model: TextToImage, u: Tensor, weighting: Weighting, gamma: float = 5.0
) -> Tensor:
    """The weight (n,) of the loss in the native prediction at levels u (n,).

    ``min_snr`` weighs the error in x0 by min(SNR, gamma) whatever the network predicts (Hang et
    al. 2023, arXiv:2303.09556, section 3.4): min(SNR, gamma) / SNR for noise prediction,
    min(SNR, gamma) / (SNR + 1) for v, u^2 min(SNR, gamma) for rectified flow.
    """
    if weighting == "uniform":
        return torch.ones_like(u)
    one = torch.ones(len(u), 1, 1, 1, dtype=torch.float64, device=u.device)
    zero = torch.zeros_like(one)
    # At fixed u all of these are linear, so ones and zeros give the coefficients.
    a, b = model.noise(one, zero, u), model.noise(zero, one, u)
    error = model.to_x0(zero, one, u)  # what a unit error of the prediction means in x0
    weight = (a / b).square().clamp(max=gamma) * error.square()  # (n, 1, 1, 1)
    return weight.flatten().float()


def mapped(
    model: TextToImage, cond: Condition, prompts: Sequence[Prompt] = ()
) -> tuple[Condition, Condition | None]:
    """A condition and the model's null, as the applied hooks let them through."""
    if not model.hooks:
        return cond, None
    return model.conditions(prompts, condition=cond)


def guidance_for(model: TextToImage, guidance: float | None) -> float:
    """The guidance that a match is made at where hooks are applied.

    guidance: left out, it is the model's own where a hook maps conditions or guided steps, since
    that is what it draws with and much of what such a hook does it does to guided steps alone; and
    1 where hooks change submodules only, which act on every step as changed weights do.

    Raises:
        BadSetting: a guidance that is not above zero, at which no prompt has a part.
    """
    if guidance is None:
        kinds = {type(hook) for hook in model.hooks}
        plain = all(
            kind.condition is Hook.condition and kind.prediction is Hook.prediction
            for kind in kinds
        )
        guidance = 1.0 if plain else model.defaults.guidance
    if not guidance > 0:
        raise BadSetting(f"expected guidance > 0 to match predictions at, got {guidance}")
    return guidance


def prediction(
    model: TextToImage,
    x: Tensor,
    u: Tensor,
    cond: Condition,
    null: Condition | None = None,
    *,
    guidance: float | None = None,
) -> Tensor:
    """The native prediction (n, c, h, w) at noisy latents x and levels u (n,), hooks included.

    Without hooks it is one ``predict``. With hooks it is one ``denoise`` for each level that
    occurs, since a guided step has one level; hooks that count steps are told the step which has
    that level in a drawing of the model's own length. Hooks that remember earlier steps remember
    nothing here.

    At a guidance s other than 1 the step's answer G is told as the conditional prediction with
    which guidance alone, without hooks at conditions and steps, would have come to it::

        e + (G - e) / s,    e the prediction of the model's own unconditional

    So a hook that does nothing changes nothing, and losses compare with those of a model without
    hooks. To match it with p is to match G with e + s (p - e), as the code of Concept Inversion
    does on SLD and negative prompts (arXiv:2308.01508).

    cond, null: n rows each, as `mapped` returns them, without bands. guidance: see `guidance_for`.
    """
    if not model.hooks:
        return model.predict(x, u, cond)
    scale, total = guidance_for(model, guidance), model.defaults.steps
    out = torch.zeros_like(x)
    for level in torch.unique(u):
        rows = (u == level).nonzero().flatten()  # (m,)
        where = round((1 - float(level)) * (total - 1))
        step = Step(u=float(level), index=where, total=total, guidance=scale)
        part = None if null is None else null[rows]
        out = out.index_copy(0, rows, model.denoise(x[rows], step, cond[rows], part)[0])
    own = None if scale == 1 else model.null(len(x))
    if own is None:
        return out
    alone = model.predict(x, u, own)
    return alone + (out - alone) / scale


def losses(
    model: TextToImage,
    x0: Tensor,
    eps: Tensor,
    u: Tensor,
    cond: Condition,
    null: Condition | None = None,
    *,
    rows: Tensor | None = None,
    guidance: float | None = None,
) -> Tensor:
    """``mean (target - prediction)^2`` of each row (n,), in the native prediction.

    Gal et al. 2022 (arXiv:2208.01618), eq. 2, for noise prediction; the family's own target in
    its place for others; hooks included, as in `prediction`. x0, eps: (n, c, h, w). u: (n,).
    rows: int64 (n,), which row of cond and null each is under; left out, each is under its own.
    """
    null = null if null is None or rows is None else null[rows]
    cond = at_levels(cond, u, rows)
    answer = prediction(model, model.noise(x0, eps, u), u, cond, null, guidance=guidance)
    return (model.target(x0, eps, u) - answer).float().square().mean(dim=(1, 2, 3))


@torch.no_grad()
def concept_loss(
    model: TextToImage,
    latents: Tensor,
    conditions: Condition,
    bank: Bank,
    *,
    prompts: Sequence[Prompt] = (),
    guidance: float | None = None,
    batch: int = 64,
) -> Tensor:
    """The denoising loss of each condition at each entry of a bank: float32 (K, B), on the CPU.

    With one bank and one set of latents for all models, differences between models are paired by
    picture, noise and level: Delta = loss of the oracle - loss of the edit, at the conditions that
    an attack found on each.

    latents: (n, c, h, w). conditions: K rows. prompts: of the rows, for hooks that read them.
    guidance: of the step through hooks, see `guidance_for`. batch: rows through the network at a
    time.
    """
    k = len(conditions)
    cond, null = mapped(model, conditions, prompts)
    found = torch.empty(k, len(bank))
    # All conditions at one entry together, so that with hooks there is one level a batch.
    pairs = torch.cartesian_prod(torch.arange(len(bank)), torch.arange(k))  # (B * k, 2)
    for chunk in torch.split(pairs, batch):
        entry, row = chunk.unbind(1)
        part = bank.take(entry)
        x0 = latents[part.picture.to(latents.device)].to(model.device)
        found[row, entry] = losses(
            model,
            x0,
            part.eps.to(x0),
            part.u.to(x0.device),
            cond,
            null,
            rows=row,
            guidance=guidance,
        ).cpu()
    return found
