"""How likely pictures are to establish a claim, and how many more it needs."""

from __future__ import annotations

import math
from statistics import NormalDist


def power(margin: float, width: float, quantile: float) -> float:
    """The chance that an edit which is exactly as good as the oracle is shown to be so.

    By the normal approximation: the bound of its excess, off by chance, lies below the margin.

    margin: of the excess, > 0. width: of the bound over the estimate, > 0, which has in it what
    pairs, clusters and the number of claims make of the pictures. quantile: how many standard
    errors the width is.
    """
    return NormalDist().cdf(quantile * (margin / width - 1))


def sample_size(
    n: int, margin: float, width: float, quantile: float, *, chance: float = 0.8
) -> int:
    """With how many pictures in the place of ``n``, clustered alike, `power` is ``chance``.

    The rest as in `power`; the width shrinks with the square root of the number.
    """
    reach = 1 + NormalDist().inv_cdf(chance) / quantile  # in widths
    return max(1, math.ceil(n * (reach * width / margin) ** 2))
