"""How one tensor's delta is kept: dense, low rank or sparse.

An encoding is exact: nothing here rounds, but for `Encoded.stored` in half precision, which is
asked for. Tensors live on the CPU and are never written to.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from excise.errors import UserError

FLOATS = (torch.float32, torch.float16)
"""What a delta may be kept in; it is computed with in the first."""


class Encoded(ABC):
    """A delta of one weight, exact at any moment as a dense float32 tensor.

    shape: of the weight. parts: the tensors that it is kept in, by suffix in a file.
    """

    shape: tuple[int, ...]
    suffixes: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def parts(self) -> dict[str, Tensor]:
        """The tensors that it is kept in, by suffix: ``""``, ``up`` and ``down``, ..."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The delta in float32, in the shape of the weight; a tensor of its own."""

    @abstractmethod
    def map(self, factor: float, dtype: torch.dtype) -> Encoded:
        """``factor`` times the delta, kept in ``dtype``; the encoding stays."""

    def scaled(self, factor: float) -> Encoded:
        """``factor`` times the delta."""
        return self.map(factor, torch.float32)

    def stored(self, dtype: torch.dtype) -> Encoded:
        """Rounded to ``dtype``: half precision is off by at most 2^-11 of a value, or 3e-8."""
        return self.map(1.0, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes in a file."""
        return sum(part.nbytes for part in self.parts.values())

    @property
    def dtype(self) -> torch.dtype:
        """What its values are kept in."""
        return next(part.dtype for part in self.parts.values() if part.is_floating_point())

    @property
    def finite(self) -> bool:
        """Has it no infinity and no NaN?"""
        return all(map(_finite, self.parts.values()))


@dataclass(frozen=True, eq=False)
class Dense(Encoded):
    """Every value."""

    value: Tensor
    suffixes = ("",)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of the weight."""
        return tuple(self.value.shape)

    @property
    def parts(self) -> dict[str, Tensor]:
        """The values themselves."""
        return {"": self.value}

    def dense(self) -> Tensor:
        """A copy of the values."""
        return self.value.to(torch.float32, copy=True)

    def map(self, factor: float, dtype: torch.dtype) -> Dense:
        """See `Encoded.map`."""
        return Dense(_times(self.value, factor, dtype))


@dataclass(frozen=True, eq=False)
class LowRank(Encoded):
    """``up @ down``, as LoRA has it (Hu et al. 2021, arXiv:2106.09685).

    up: (o, r). down: (r, i). shape: (o, ...), the rest i values in all, as a convolution has them;
    (o, i) if left out.
    """

    up: Tensor
    down: Tensor
    shape: tuple[int, ...] = ()
    suffixes = ("up", "down")

    def __post_init__(self) -> None:
        up, down = tuple(self.up.shape), tuple(self.down.shape)
        if len(up) != 2 or len(down) != 2 or up[1] != down[0]:
            raise ValueError(f"expected up (o, r) and down (r, i), got {up} and {down}")
        shape = tuple(self.shape) or (up[0], down[1])
        if shape[0] != up[0] or math.prod(shape[1:]) != down[1]:
            raise ValueError(f"expected factors of a tensor of shape {shape}, got {up} and {down}")
        object.__setattr__(self, "shape", shape)

    @property
    def parts(self) -> dict[str, Tensor]:
        """The two factors."""
        return {"up": self.up, "down": self.down}

    def dense(self) -> Tensor:
        """The product, summed in float64 so that every machine rounds it to the same float32."""
        product = self.up.double() @ self.down.double()
        return product.float().reshape(self.shape)  # (o, i) -> shape

    def map(self, factor: float, dtype: torch.dtype) -> LowRank:
        """See `Encoded.map`."""
        return LowRank(_times(self.up, factor, dtype), self.down.to(dtype), self.shape)


@dataclass(frozen=True, eq=False)
class Sparse(Encoded):
    """The values that are not zero.

    index: int32 or int64 (m,), increasing, in the flattened weight. value: (m,).
    """

    index: Tensor
    value: Tensor
    shape: tuple[int, ...]
    suffixes = ("index", "value")

    def __post_init__(self) -> None:
        index, n = self.index, math.prod(self.shape)
        if index.dim() != 1 or index.shape != self.value.shape or index.is_floating_point():
            raise ValueError(
                f"expected as many integer indices as values, got {tuple(index.shape)} of "
                f"{index.dtype} and {tuple(self.value.shape)}"
            )
        if len(index) and (
            int(index[0]) < 0 or int(index[-1]) >= n or not bool((index[1:] > index[:-1]).all())
        ):
            raise ValueError(f"expected increasing indices in 0 .. {n - 1}")

    @property
    def parts(self) -> dict[str, Tensor]:
        """Where, and what."""
        return {"index": self.index, "value": self.value}

    def dense(self) -> Tensor:
        """Zeros with the values put in."""
        flat = torch.zeros(math.prod(self.shape))
        flat[self.index.long()] = self.value.float()
        return flat.reshape(self.shape)  # (n,) -> shape

    def map(self, factor: float, dtype: torch.dtype) -> Sparse:
        """See `Encoded.map`."""
        return Sparse(self.index, _times(self.value, factor, dtype), self.shape)


KINDS: tuple[type[Encoded], ...] = (Dense, LowRank, Sparse)


def own(value: Tensor | Encoded, copies: dict[int, Tensor] | None = None) -> Encoded:
    """A delta that nobody else can write to, on the CPU and in float32, not yet the smallest.

    copies: of factors, by the identity of those that they were made of; what many deltas share they
    share afterwards, as the ``down`` of a closed form for all layers.

    Raises UserError for something else.
    """
    known = {} if copies is None else copies
    if isinstance(value, Tensor):
        return Dense(_copy(value))
    if isinstance(value, Dense):
        return Dense(_copy(value.value))
    if isinstance(value, LowRank):
        if id(value.down) not in known:
            known[id(value.down)] = _copy(value.down)
        return LowRank(_copy(value.up), known[id(value.down)], value.shape)
    if isinstance(value, Sparse):
        index = value.index.detach().to("cpu", copy=True)
        return Sparse(index, _copy(value.value), value.shape)
    raise UserError(
        "expected a delta as a tensor, or as Dense, LowRank or Sparse of tensors, got "
        f"{type(value).__name__}; make it a tensor of its weight's shape"
    )


def smallest(delta: Encoded) -> Encoded | None:
    """The exact encoding with the fewest bytes; None if the delta is zero.

    Low rank is kept where it is the smallest, and never looked for: factors found in a dense
    tensor would not give it back bit for bit.
    """
    if isinstance(delta, LowRank):
        if not _some(delta.up) or not _some(delta.down):
            return None
        size = math.prod(delta.shape) * delta.up.element_size()
        return delta if delta.nbytes < size else smallest(Dense(delta.dense()))
    dense = isinstance(delta, Dense)
    values = delta.parts["" if dense else "value"]
    count, n = int(values.count_nonzero()), math.prod(delta.shape)
    if count == 0:
        return None
    wide = n > torch.iinfo(torch.int32).max
    if count * (values.element_size() + (8 if wide else 4)) >= n * values.element_size():
        return delta if dense else Dense(delta.dense().to(values.dtype))
    if not dense and count == len(values):
        return delta
    flat = (values if dense else delta.dense().to(values.dtype)).reshape(-1)  # shape -> (n,)
    index = flat.nonzero().flatten()  # (m,)
    return Sparse(index if wide else index.to(torch.int32), flat[index], delta.shape)


def added(a: Encoded, b: Encoded) -> Encoded:
    """The sum. Of two low ranks it is their factors side by side, where that is the smaller."""
    if isinstance(a, LowRank) and isinstance(b, LowRank):
        rank = a.up.shape[1] + b.up.shape[1]
        if rank * (a.up.shape[0] + a.down.shape[1]) < math.prod(a.shape):
            up = torch.cat([a.up.float(), b.up.float()], dim=1)  # (o, r1 + r2)
            down = torch.cat([a.down.float(), b.down.float()])  # (r1 + r2, i)
            return LowRank(up, down, a.shape)
    return Dense(a.dense() + b.dense())


def decode(parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Encoded:
    """The encoding that a file's tensors, by suffix, make up.

    Raises:
        ValueError: they are none, or do not fit together or to the shape.
    """
    for name, part in parts.items():
        if name != "index" and part.dtype not in FLOATS:
            raise ValueError(f"expected float32 or float16, got {part.dtype}")
    if parts.keys() == {""}:
        if tuple(parts[""].shape) != shape:
            raise ValueError(f"expected shape {shape}, got {tuple(parts[''].shape)}")
        return Dense(parts[""])
    if parts.keys() == {"up", "down"}:
        return LowRank(parts["up"], parts["down"], shape)
    if parts.keys() == {"index", "value"}:
        return Sparse(parts["index"], parts["value"], shape)
    known = " or ".join("+".join(kind.suffixes) or "one dense tensor" for kind in KINDS)
    raise ValueError(f"expected {known}, got {sorted(parts)}")


class Decoded(Mapping[str, Tensor]):
    """Deltas as dense tensors to read, each made when it is asked for: one is in memory at a time.

    Those that are kept dense in float32 are handed out themselves, without a copy.
    """

    def __init__(self, deltas: Mapping[str, Encoded]) -> None:
        self._deltas = deltas

    def __getitem__(self, name: str) -> Tensor:
        delta = self._deltas[name]
        if isinstance(delta, Dense) and delta.dtype == torch.float32:
            return delta.value
        return delta.dense()

    def __iter__(self) -> Iterator[str]:
        return iter(self._deltas)

    def __len__(self) -> int:
        return len(self._deltas)


def _finite(part: Tensor) -> bool:
    """Is there no infinity and no NaN? Either would be in the sum, which is quicker to find."""
    return bool(part.sum().isfinite()) or bool(part.isfinite().all())


def _some(part: Tensor) -> bool:
    """Is there anything but zeros? Looks at a few values first."""
    flat = part.reshape(-1)
    return bool(flat[:64].any()) or bool(flat.any())


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", torch.float32, copy=True).contiguous()


def _times(value: Tensor, factor: float, dtype: torch.dtype) -> Tensor:
    return (value.float() * factor).to(dtype)
