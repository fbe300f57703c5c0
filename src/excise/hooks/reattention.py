"""SAFREE's latent re-attention: damp, in the picture's features, what a projected prompt adds.

Yoon et al. 2024 (arXiv:2410.12761), section 3: what the projected prompt's features have more of
than the prompt's own, at low frequencies, is scaled down. As in FreeU (Si et al. 2023,
arXiv:2309.11497), these are the skip features that enter the decoder's first blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from excise.types import Condition, Step

FILTERED, TWIN = 1.0, 2.0  # roles of rows; all others have 0
ROUNDING = 1e-4
"""By how much of a magnitude two have to differ: features that no text has reached are the same in
both branches, and rows of a batch differ by rounding."""


def damped(own: Tensor, other: Tensor, scale: float) -> Tensor:
    """Features (n, c, h, w) whose low frequencies are scaled where they exceed the other's.

    Eqs. 7 and 8, on magnitudes, with at most one cycle a side counted as low. The authors' code
    compares real parts, and FreeU's box holds the cycles -1 and 0 alone.
    """
    wide = torch.promote_types(own.dtype, torch.float32)
    a, b = (torch.fft.fft2(x.to(wide)) for x in (own, other))
    rows, columns = (
        torch.fft.fftfreq(size, d=1 / size, device=own.device).abs() < 1.5
        for size in own.shape[-2:]
    )
    low = rows[:, None] & columns[None, :]  # (h, w)
    more = low & (a.abs() > (1 + ROUNDING) * b.abs())
    new: Tensor = torch.fft.ifft2(torch.where(more, scale * a, a)).real
    return new.to(own.dtype)


def twinned(
    step: Step, name: str, safe: Condition, plain: Condition, null: Condition, active: Tensor
) -> tuple[Step, Condition, Condition]:
    """The step with a third branch of weight 0, the prompt as it was; (step, condition, null).

    The rows of the network are told apart by a tensor ``name`` of roles (n, 1). active: bool (n,),
    the rows that have a twin.
    """
    role = active.to(safe.hidden)[:, None]
    zero = torch.zeros_like(role)
    terms = [(t.replace(**{name: t.hidden.new_zeros(len(t), 1)}), w) for t, w in step.terms]
    terms.append((plain.replace(**{name: TWIN * role}), 0.0))
    inside = replace(step, terms=tuple(terms))
    null = null.replace(**{name: zero.expand(len(null), 1)})
    return inside, safe.replace(**{name: FILTERED * role}), null


def decoded(
    roles: Tensor,
    scale: float,
    forward: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """A decoder block's answer, with the skip features of filtered rows damped by their twins'."""
    own, twin = ((roles[:, 0] == role).nonzero().flatten() for role in (FILTERED, TWIN))
    skips = kwargs.get("res_hidden_states_tuple")
    # Hooks further in may have taken the branches apart.
    if skips is None or not len(own) or len(own) != len(twin):
        return forward(*args, **kwargs)
    new = tuple(s.index_copy(0, own, damped(s[own], s[twin], scale)) for s in skips)
    return forward(*args, **{**kwargs, "res_hidden_states_tuple": new})
