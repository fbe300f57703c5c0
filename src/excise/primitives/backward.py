"""A backward pass that says so where a loss does not depend on the weights that were selected."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from excise.errors import BadSetting
from excise.types import Selector

SHOWN = 3  # names of a selector, in a message


def descend(loss: Tensor, selector: Selector, what: str = "the loss") -> None:
    """Add a scalar's gradient to the weights that it depends on.

    selector: what was made trainable. what: the loss, as a message is to call it.

    Raises:
        BadSetting: it depends on nothing that takes a gradient.
    """
    if not loss.requires_grad:
        raise unreached(selector, what)
    loss.backward()  # type: ignore[no-untyped-call]


def check_reached(weights: Iterable[Tensor], selector: Selector) -> None:
    """Raise BadSetting if a pass left none of the selected weights a gradient.

    A loss may depend on something else that takes one, such as an input that moves along.
    """
    if all(weight.grad is None for weight in weights):
        raise unreached(selector, "the loss")


def unreached(selector: Selector, what: str) -> BadSetting:
    """The error for a selector whose weights a loss does not depend on; to be raised."""
    names = [selector] if isinstance(selector, str) else list(selector)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return BadSetting(
        f"expected a selector of weights that {what} depends on, got "
        f"{', '.join(map(repr, names[:SHOWN]))}{more}, on none of which it does: the prompts and "
        "pictures of this training are encoded once, before it begins; choose weights of the "
        "denoiser, as selector=denoiser or selector=cross_attention does"
    )
