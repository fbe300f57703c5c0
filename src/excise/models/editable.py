"""A model's weights and hooks: found by name, changed for a while, put back."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from excise.models import blocks, hooking, names, weights
from excise.types import Hook, Selector, digest


class Editable(ABC):
    """A pipeline whose networks are known by canonical names.

    Everything that changes it is a context manager, and they nest.
    """

    denoiser: ClassVar[str]

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self._hooks: tuple[Hook, ...] = ()
        self._edits: tuple[str, ...] = ()
        self._evaluation = hooking.Evaluation()
        self._serial = count()

    @property
    @abstractmethod
    def encoders(self) -> dict[str, int]:
        """The text encoders in order, each with the width of its token embedding."""

    @property
    def components(self) -> dict[str, nn.Module]:
        """The networks by name: denoiser, text encoders, autoencoder."""
        parts = (self.denoiser, *self.encoders, "vae")
        return {part: getattr(self.pipeline, part) for part in parts}

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""
        return next(self.components[self.denoiser].parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the denoiser."""
        return next(self.components[self.denoiser].parameters()).dtype

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks that are applied, the innermost first."""
        return self._hooks

    @property
    def edits(self) -> tuple[str, ...]:
        """What names the applied deltas and hooks."""
        return self._edits

    def fingerprint(self) -> str:
        """SHA-256 over the names, types, shapes and bytes of all weights as they are now."""
        total = hashlib.sha256()
        for name, parameter in sorted(self._parameters().items()):
            total.update(f"{name} {digest(parameter)}\n".encode())
        return total.hexdigest()

    def blocks(self) -> dict[str, tuple[str, ...]]:
        """Named groups of canonical parameter names; the coarse ones partition the denoiser."""
        return blocks.blocks(list(self.parameters("denoiser")))

    def parameters(self, selector: Selector = "denoiser") -> dict[str, nn.Parameter]:
        """Live parameters by canonical name."""
        everything = self._parameters()
        chosen = blocks.select(selector, list(everything), self.denoiser)
        return {name: everything[name] for name in chosen}

    def _parameters(self) -> dict[str, nn.Parameter]:
        return names.named_parameters(self.components)

    def modules(self, selector: Selector) -> dict[str, nn.Module]:
        """Live submodules by canonical name or glob."""
        patterns = [selector] if isinstance(selector, str) else list(selector)
        return blocks.modules_matching(patterns, names.named_modules(self.components))

    @contextmanager
    def swapped(
        self, deltas: Mapping[str, Tensor], *, strength: float = 1.0, key: str | None = None
    ) -> Iterator[None]:
        """Add deltas to named weights; the originals come back, bit for bit, at the end.

        key: names the change in caches' keys; left out, the change is taken for a new one.
        """
        with weights.swapped(self._parameters(), deltas, strength), self._edited(key, "swap"):
            yield

    @contextmanager
    def trainable(self, selector: Selector = ()) -> Iterator[dict[str, nn.Parameter]]:
        """Let the selected parameters, and no others, take gradients; all is put back at the end.

        With nothing selected, the whole model is frozen.
        """
        everything = self._parameters()
        chosen = blocks.select(selector, list(everything), self.denoiser)
        with (
            weights.trainable(self.components, everything, chosen) as picked,
            self._edited(None, "train"),
        ):
            yield picked

    @contextmanager
    def hooked(self, hooks: Sequence[Hook], *, key: str | None = None) -> Iterator[None]:
        """Apply hooks, the first innermost, outside of those already applied."""
        live, before = names.named_modules(self.components), self._hooks
        with hooking.wrapped(hooks, live, self._evaluation), self._edited(key, "hooks"):
            try:
                self._hooks = (*before, *hooks)
                yield
            finally:
                self._hooks = before

    @contextmanager
    def unhooked(self) -> Iterator[None]:
        """Without the hooks that are applied, to compare with; they are back at the end."""
        before = self._hooks
        with self._evaluation.without(before), self._edited(None, "bare"):
            try:
                self._hooks = ()
                yield
            finally:
                self._hooks = before

    @contextmanager
    def _edited(self, key: str | None, kind: str) -> Iterator[None]:
        before = self._edits
        try:
            self._edits = (*before, key or f"{kind} {next(self._serial)}")
            yield
        finally:
            self._edits = before

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Every network in evaluation mode, each submodule's own mode back afterwards."""
        with weights.evaluating(self.components):
            yield
