"""Standard errors that add up, each with how well it is known itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class StandardError:
    """A standard error, and its degrees of freedom, which may be infinite."""

    value: float
    freedom: float


def combined(parts: Sequence[StandardError]) -> StandardError:
    """The error of a sum of independent parts.

    Variances add up, and their degrees of freedom with them: ``(sum v)^2 / sum(v^2 / f)`` after
    Satterthwaite (1946), "An approximate distribution of estimates of variance components",
    Biometrics Bull. 2. Where there is no error at all, or all of it is known exactly, the first
    part's degrees of freedom are taken.

    Raises:
        ValueError: no parts.
    """
    if not parts:
        raise ValueError("expected at least one standard error, got none")
    variance = np.array([part.value**2 for part in parts])
    spread = float((variance**2 / np.array([part.freedom for part in parts])).sum())
    total = float(variance.sum())
    freedom = total**2 / spread if spread > 0 else parts[0].freedom
    return StandardError(value=total**0.5, freedom=freedom)
