"""Which weights an edit was made for, and whether a model has them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from excise.edit.packing import holds_tensors
from excise.errors import NumericalError, WrongBase
from excise.types import Hook

if TYPE_CHECKING:
    from excise.types import TextToImage

SAMPLES = 8  # values of each tensor that are kept as they are
HALVES: Mapping[str, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class BaseMatch(Enum):
    """How a model's weights stand to those that an edit was made for.

    EXACT: the same values. PRECISION: the same values rounded to, or from, half precision, as far
    as the sampled values say. TRANSFER: other values of the same shapes, as in a fine-tune.
    UNBOUND: there is nothing to compare, as in a guard that was made without training: it may go on
    any model of the family, and nothing says that it does the same there.
    """

    EXACT = "exact"
    PRECISION = "precision"
    TRANSFER = "transfer"
    UNBOUND = "unbound"


@dataclass(frozen=True, kw_only=True)
class BaseTensor:
    """One weight of the base, as it was.

    sha256: of its values as float32, in order. samples: the values at `positions`.
    halves: the names of the `HALVES` that hold all of its values exactly.
    """

    shape: tuple[int, ...]
    sha256: str
    samples: tuple[float, ...]
    halves: tuple[str, ...] = ()

    @staticmethod
    def of(value: Tensor) -> BaseTensor:
        """The record of a tensor. Raises NumericalError if a sampled value is not finite."""
        found = samples(value)
        if not all(math.isfinite(x) for x in found):
            raise NumericalError(
                f"expected finite weights to record as a base, got {found}; load the model again"
            )
        return BaseTensor(
            shape=tuple(value.shape), sha256=sha256(value), samples=found, halves=halves(value)
        )

    def match(self, value: Tensor) -> BaseMatch | None:
        """How a tensor of the same shape compares; None if it is another.

        Where precision was lost on the way from the base to the model, only the samples can be
        compared; where it is the base that had less of it, every value is.
        """
        found = samples(value)
        if found == self.samples and sha256(value) == self.sha256:
            return BaseMatch.EXACT
        for half in HALVES.values():
            same = _round(found, half) == self.samples
            if same and sha256(value.detach().float().to(half)) == self.sha256:
                return BaseMatch.PRECISION
        return BaseMatch.PRECISION if self._rounds_to(found, halves(value)) else None

    def _rounds_to(self, found: tuple[float, ...], live: tuple[str, ...]) -> bool:
        """Can the samples `found`, in a tensor that the types `live` hold, be these, rounded?"""
        lost = [half for half in live if half not in self.halves]
        if any(_round(self.samples, HALVES[half]) == found for half in lost):
            return True
        # One in float16 and one in bfloat16, of a base that neither holds: within both roundings.
        # The values of bfloat16 are most often float16's too, hence this way round.
        pair = (self.halves, live) if "bfloat16" in live else (live, self.halves)
        if "float16" not in pair[0] or "bfloat16" in pair[0] or "bfloat16" not in pair[1]:
            return False
        slack = sum(torch.finfo(half).eps / 2 for half in HALVES.values())
        return all(
            abs(a - b)
            <= slack * max(abs(a), abs(b))
            + torch.finfo(torch.float16).smallest_normal * torch.finfo(torch.float16).eps / 2
            for a, b in zip(self.samples, found, strict=True)
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "shape": list(self.shape),
            "sha256": self.sha256,
            "samples": list(self.samples),
            "halves": list(self.halves),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> BaseTensor:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
        return BaseTensor(
            shape=tuple(int(n) for n in data["shape"]),
            sha256=str(data["sha256"]),
            samples=tuple(float(x) for x in data["samples"]),
            halves=tuple(str(half) for half in data["halves"] if half in HALVES),
        )


@dataclass(frozen=True, kw_only=True)
class Base:
    """The model that an edit was made for.

    name: what it was called then; a hint for people. family: that of the model; empty if unknown,
    and then any will do. tensors: by canonical name, those that the edit changes. read: those that
    the tensors of its hooks were fitted to, and that it leaves as they are; files of older versions
    have none.
    """

    name: str = ""
    family: str = ""
    tensors: Mapping[str, BaseTensor] = field(default_factory=dict)
    read: Mapping[str, BaseTensor] = field(default_factory=dict)

    @staticmethod
    def of(
        model: TextToImage, shapes: Mapping[str, tuple[int, ...]], hooks: Sequence[Hook] = ()
    ) -> Base:
        """Records of some of a model's weights, as they are now.

        shapes: of those that are changed. hooks: for what theirs were fitted to, see `read_by`.

        Raises:
            WrongBase: the model has no such weight, or one of another shape.
        """
        fitted = [hook for hook in hooks if holds_tensors(hook)]
        live = model.parameters("*") if shapes or fitted else {}
        for name, shape in shapes.items():
            if name not in live or tuple(live[name].shape) != shape:
                found = f"shape {tuple(live[name].shape)}" if name in live else "no such weight"
                raise WrongBase(
                    f"expected a delta for a weight of {model.name!r}, got {name} of shape "
                    f'{shape}, where it has {found}; model.parameters("*") lists its weights'
                )
        tensors = {name: BaseTensor.of(live[name]) for name in shapes}
        names = dict.fromkeys(n for hook in fitted for n in read_by(hook, model, live))
        read = {n: tensors[n] if n in tensors else BaseTensor.of(live[n]) for n in names}
        return Base(name=model.name, family=model.family, tensors=tensors, read=read)

    @property
    def records(self) -> Mapping[str, BaseTensor]:
        """All that a model is compared with."""
        return {**self.read, **self.tensors}

    def check(
        self,
        model: str,
        live: Mapping[str, Tensor],
        *,
        transfer: bool,
        seen: MutableMapping[str, int],
    ) -> BaseMatch:
        """The weakest match over all that is recorded; UNBOUND where nothing is.

        model: what to call the model in an error. live: its weights by canonical name.
        seen: what earlier checks found exact, so that they need not hash it again.

        Raises:
            WrongBase: a weight is missing or of another shape; or, unless `transfer`, other values.
        """
        records = self.records
        worst = BaseMatch.EXACT if records else BaseMatch.UNBOUND
        others = []
        for name, record in records.items():
            value = live.get(name)
            if value is None or tuple(value.shape) != record.shape:
                found = "no such weight" if value is None else f"shape {tuple(value.shape)}"
                raise WrongBase(
                    f"expected {name} of shape {record.shape}, as in the model {self.name!r} that "
                    f"the edit was made for, but {model!r} has {found}; give the model that it was "
                    "made for, or make an edit for this one"
                )
            bits = checksum(value)
            if seen.get(name) == bits and samples(value) == record.samples:
                continue
            match = record.match(value)
            if match is BaseMatch.EXACT:
                seen[name] = bits
            elif match is BaseMatch.PRECISION:
                worst = BaseMatch.PRECISION
            else:
                others.append(name)
        if not others:
            return worst
        if transfer:
            return BaseMatch.TRANSFER
        first = others[0]
        raise WrongBase(
            f"expected the weights of the model {self.name!r} that the edit was made for "
            f"({first} with SHA-256 {records[first].sha256[:12]}), but {model!r} differs in "
            f"{len(others)} of {len(records)} tensors ({first} has "
            f"{sha256(live[first])[:12]}); give that model; if another edit is applied, merge the "
            "two instead (a + b, or a.then(b) if b was made with a applied); for a fine-tune of "
            "that model, ask for transfer"
        )

    def merged(self, other: Base) -> Base:
        """The base of a sum: both bases, which must agree where they overlap.

        Raises:
            WrongBase: they are different models.
        """
        families = {self.family, other.family} - {""}
        mine, theirs = self.records, other.records
        differing = [
            name for name in mine.keys() & theirs.keys() if mine[name].sha256 != theirs[name].sha256
        ]
        if len(families) > 1 or differing:
            what = f"{min(differing)} differs" if differing else f"families {sorted(families)}"
            raise WrongBase(
                f"expected edits of one model, got one of {self.name!r} and one of {other.name!r} "
                f"({what}); if the second was made with the first applied, use first.then(second)"
            )
        return replace(
            self,
            name=self.name or other.name,
            family=self.family or other.family,
            tensors={**self.tensors, **other.tensors},
            read={**self.read, **other.read},
        )


def read_by(hook: Hook, model: TextToImage, names: Iterable[str]) -> tuple[str, ...]:
    """Of a model's weights, those that make what a hook is handed: its tensors were fitted to that.

    At `condition` it is handed what the text encoders say, at `prediction` what the denoiser does,
    and at `module` what goes through the submodules that it wraps.
    """
    kind, places = type(hook), list(hook.modules)
    if kind.condition is not Hook.condition:
        places += model.encoders
    if kind.prediction is not Hook.prediction:
        places.append(model.denoiser)
    return tuple(name for name in names if any(fnmatchcase(name, f"{p}.*") for p in places))


def positions(n: int) -> list[int]:
    """Where a tensor of n values is sampled: all of a small one, else spread without a period."""
    if n <= SAMPLES:
        return list(range(n))
    return [(n // 2 + i * 2654435761) % n for i in range(SAMPLES)]  # 2^32 / golden ratio


def samples(value: Tensor) -> tuple[float, ...]:
    """The values at `positions`, exactly."""
    flat = value.detach().reshape(-1)  # shape -> (n,)
    index = torch.tensor(positions(len(flat)), dtype=torch.int64, device=flat.device)
    return tuple(float(x) for x in flat[index].to("cpu", torch.float64).tolist())


def sha256(value: Tensor) -> str:
    """SHA-256 of the values as float32, in hexadecimal."""
    flat = value.detach().to("cpu", torch.float32).contiguous().reshape(-1)
    return hashlib.sha256(flat.numpy().data).hexdigest()


def checksum(value: Tensor) -> int:
    """The sum of a tensor's bytes, eight at a time, modulo 2^64: as fast as memory, where it lies.

    Tells whether values that were hashed before have changed since; it is no hash of its own.
    """
    flat = value.detach().contiguous().reshape(-1)
    if flat.storage_offset() * flat.element_size() % 8:
        flat = flat.clone()
    raw = flat.view(torch.uint8)  # (bytes,)
    whole = len(raw) // 8 * 8
    tail = int(raw[whole:].sum())
    return int(raw[:whole].view(torch.int64).sum()) + tail if whole else tail


def halves(value: Tensor) -> tuple[str, ...]:
    """The names of the `HALVES` that hold all values of a tensor exactly."""
    full = value.detach().float()
    return tuple(name for name, half in HALVES.items() if torch.equal(full.to(half).float(), full))


def _round(values: tuple[float, ...], half: torch.dtype) -> tuple[float, ...]:
    # By way of float32, where the values come from: the same rounding as the weights'.
    return tuple(torch.tensor(values, dtype=torch.float32).to(half).to(torch.float64).tolist())
