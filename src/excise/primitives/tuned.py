"""What a fine-tune comes to: deltas of weights, and what was trained beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from excise.edit import Encoded
from excise.edit.encodings import Decoded, decode
from excise.edit.packing import pack, unpack
from excise.store import Artefact
from excise.types import Hook

HOOK = "hook/"


@dataclass(frozen=True, eq=False, kw_only=True)
class Tuned:
    """What a fine-tune comes to.

    encoded: by how much each selected weight moved, fp32, on the CPU, by canonical name: dense, or
        low rank where that is what was trained. hooks: what was trained beside them, fp32, on the
        CPU. curves: each term's loss before each step.
    """

    encoded: Mapping[str, Encoded]
    curves: Mapping[str, tuple[float, ...]]
    hooks: tuple[Hook, ...] = ()

    @property
    def deltas(self) -> Mapping[str, Tensor]:
        """The deltas as dense tensors, each made when it is asked for."""
        return Decoded(self.encoded)

    def record(self) -> dict[str, Any]:
        """The curves as JSON values."""
        return {"curves": {name: list(curve) for name, curve in self.curves.items()}}

    def artefact(self) -> Artefact:
        """To be kept in a stage."""
        tensors = {f"{n}#{s}": part for n, d in self.encoded.items() for s, part in d.parts.items()}
        shapes = {name: list(delta.shape) for name, delta in self.encoded.items()}
        packed = [pack(hook) for hook in self.hooks]
        for i, one in enumerate(packed):
            tensors |= {f"{HOOK}{i}/{name}": part for name, part in one.tensors.items()}
        hooks = [[one.name, dict(one.settings)] for one in packed]
        return Artefact(
            tensors=tensors,
            record={**self.record(), "shapes": shapes, **({"hooks": hooks} if hooks else {})},
        )

    @staticmethod
    def of(done: Artefact) -> Tuned:
        """From a finished stage."""
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in done.record["shapes"]}
        for full, part in done.tensors.items():
            if not full.startswith(HOOK):
                name, _, suffix = full.partition("#")
                parts[name][suffix] = part
        shapes = {name: tuple(shape) for name, shape in done.record["shapes"].items()}
        hooks = []
        for i, (name, settings) in enumerate(done.record.get("hooks", [])):
            start = f"{HOOK}{i}/"
            own = {n.removeprefix(start): t for n, t in done.tensors.items() if n.startswith(start)}
            hooks.append(unpack(name, settings, own))
        return Tuned(
            encoded={name: decode(own, shapes[name]) for name, own in parts.items()},
            curves={name: tuple(curve) for name, curve in done.record["curves"].items()},
            hooks=tuple(hooks),
        )
