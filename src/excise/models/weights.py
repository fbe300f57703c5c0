"""Weights changed for a while, and put back from a copy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from excise.errors import UserError, unknown


@contextmanager
def swapped(
    parameters: Mapping[str, nn.Parameter], deltas: Mapping[str, Tensor], strength: float = 1.0
) -> Iterator[None]:
    """Add ``strength * delta`` to named weights, in fp32; put the originals back, bit for bit.

    Raises UserError for a name that is not there or a delta of another shape, before anything is
    changed. Costs a copy of the weights that change.
    """
    for name, delta in deltas.items():
        if name not in parameters:
            raise unknown("weight", name, parameters)
        if delta.shape != parameters[name].shape:
            raise UserError(
                f"expected a delta of shape {tuple(parameters[name].shape)} for {name}, got "
                f"{tuple(delta.shape)}; was it made for another model?"
            )
    originals: dict[str, Tensor] = {}
    try:
        with torch.no_grad():
            for name, delta in deltas.items():
                weight = parameters[name]
                originals[name] = weight.detach().clone()
                change = delta.to(weight.device, torch.float32)
                weight.copy_((weight.float() + strength * change).to(weight.dtype))
        yield
    finally:
        with torch.no_grad():
            for name, original in originals.items():
                parameters[name].copy_(original)


@contextmanager
def trainable(
    components: Mapping[str, nn.Module],
    parameters: Mapping[str, nn.Parameter],
    chosen: Collection[str],
) -> Iterator[dict[str, nn.Parameter]]:
    """Let the chosen parameters take gradients, and nothing else in the components.

    Yields the chosen. At the end their values come back from a copy, and so do every parameter's
    ``requires_grad`` and gradient, adapters included. Nothing chosen means everything frozen.
    """
    everything = [p for module in components.values() for p in module.parameters()]
    flags = [(p, p.requires_grad, p.grad) for p in everything]
    picked = {name: parameters[name] for name in chosen}
    originals = {name: parameter.detach().clone() for name, parameter in picked.items()}
    try:
        for parameter in everything:
            parameter.requires_grad_(False)
            parameter.grad = None
        for parameter in picked.values():
            parameter.requires_grad_(True)
        yield picked
    finally:
        for parameter, needed, gradient in flags:
            parameter.requires_grad_(needed)
            parameter.grad = gradient
        with torch.no_grad():
            for name, original in originals.items():
                picked[name].copy_(original)


@contextmanager
def evaluating(components: Mapping[str, nn.Module]) -> Iterator[None]:
    """Every module in evaluation mode (no dropout), each one's own mode back afterwards."""
    training = [m for module in components.values() for m in module.modules() if m.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True
