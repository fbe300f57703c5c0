"""The one place where randomness begins.

Every random number comes from a seed that is a hash of what it is for, so that adding a draw in one
place moves no draw in another, and a picture's noise depends on its own seed alone.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

Part = int | str


def seed_of(*parts: Part) -> int:
    """A seed in [0, 2**63) from what it is for, as in ``seed_of(run_seed, "inversion", 3)``.

    The first 63 bits of the SHA-256 of the parts; the same on every machine and Python. ``1`` and
    ``"1"`` are different parts, and so are ``("ab",)`` and ``("a", "b")``.
    """
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:8], "big") >> 1


def generator(*parts: Part) -> torch.Generator:
    """A torch generator on the CPU, seeded with `seed_of` of the parts."""
    return torch.Generator().manual_seed(seed_of(*parts))


def numpy_generator(*parts: Part) -> np.random.Generator:
    """A numpy generator, seeded with `seed_of` of the parts."""
    return np.random.default_rng(seed_of(*parts))


def noise(
    seeds: Sequence[int],
    shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise, one row a seed: ``(len(seeds), *shape)``.

    A row depends on its seed and on `shape`, not on its neighbours, the dtype or the device: it is
    drawn in fp32 on the CPU and then moved.
    """
    rows = torch.empty((len(seeds), *shape), dtype=torch.float32)
    for row, seed in zip(rows, seeds, strict=True):
        row.normal_(generator=generator("noise", int(seed)))
    return rows.to(device=device, dtype=dtype)


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run library code that knows only the global generators, and leave those as they were.

    Inside, the generators of torch (CPU, and CUDA or MPS where in use), numpy and `random` start
    from `seed`. Outside nothing has happened, also after an exception.
    """
    # An accelerator that nobody has used yet has no state worth keeping, and asking for it would
    # take its memory.
    cuda = torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    mps = torch.backends.mps.is_available()
    cpu_state = torch.get_rng_state()
    cuda_state = torch.cuda.get_rng_state_all() if cuda else []
    mps_state = torch.mps.get_rng_state() if mps else None
    numpy_state = np.random.get_state()
    python_state = random.getstate()
    try:
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed_all(seed)
        if mps_state is not None:
            torch.mps.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        yield
    finally:
        torch.set_rng_state(cpu_state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda_state)
        if mps_state is not None:
            torch.mps.set_rng_state(mps_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
