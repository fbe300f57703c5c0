"""The one counter of what a model spends."""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor

from excise.types import Costs


class Counter:
    """Counts from its making on; `read` takes a snapshot, two of which subtract."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = time.perf_counter()
        self._evaluations = 0
        self._gradients = 0
        self._pictures = 0

    def evaluated(self, prediction: Tensor) -> None:
        """Count the rows of a network's output."""
        self._evaluations += len(prediction)
        self._gradients += len(prediction) if prediction.requires_grad else 0

    def drawn(self, pictures: int) -> None:
        """Count finished pictures."""
        self._pictures += pictures

    def read(self) -> Costs:
        """What was spent so far."""
        return Costs(
            evaluations=self._evaluations,
            gradients=self._gradients,
            pictures=self._pictures,
            seconds=time.perf_counter() - self._start,
            peak_bytes=_peak(self._device),
        )


def _peak(device: torch.device) -> int:
    """The largest memory that the device, or on the CPU this process, has held, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere
