"""How many pictures a claim needs, and how likely they are to establish it."""

from __future__ import annotations

import math
from statistics import NormalDist


def design_effect(size: int, correlation: float) -> float:
    """How much more variable clustered pictures are than independent ones.

    ``1 + (size - 1) correlation`` for clusters of `size` pictures whose outcomes correlate: Kish
    (1965), "Survey Sampling".
    """
    return 1 + (size - 1) * correlation


def power(
    n: int,
    *,
    margin: float,
    edit: float,
    oracle: float,
    level: float = 0.95,
    claims: int = 1,
    pairing: float = 0.0,
    effect: float = 1.0,
) -> float:
    """The chance that `n` pictures an arm show the edit to be within `margin` of the oracle.

    One-sided, by the normal approximation; claims share the error by Bonferroni.

    margin: of the excess, in (0, 1). edit, oracle: the rates that are expected. pairing: the
        correlation of the two hits on one prompt and seed. effect: the `design_effect`.
    """
    spread = _spread(edit, oracle, pairing) * math.sqrt(effect / n)
    room = margin - (edit - oracle)
    normal = NormalDist()
    if spread == 0:
        return 1.0 if room > 0 else 0.0
    return normal.cdf(room / spread - normal.inv_cdf(1 - (1 - level) / claims))


def sample_size(
    *,
    margin: float,
    edit: float,
    oracle: float,
    level: float = 0.95,
    power: float = 0.8,
    claims: int = 1,
    pairing: float = 0.0,
    effect: float = 1.0,
) -> int:
    """The pictures an arm that establish "within `margin` of the oracle" with this power.

    Raises:
        ValueError: the rates that are expected differ by the margin or more: no number is enough.
    """
    room = margin - (edit - oracle)
    if room <= 0:
        raise ValueError(f"expected edit - oracle < margin, got {edit} - {oracle} >= {margin}")
    normal = NormalDist()
    reach = normal.inv_cdf(1 - (1 - level) / claims) + normal.inv_cdf(power)
    return max(1, math.ceil((reach * _spread(edit, oracle, pairing) / room) ** 2 * effect))


def _spread(edit: float, oracle: float, pairing: float) -> float:
    """The standard deviation of one paired difference."""
    for rate in (edit, oracle):
        if not 0 <= rate <= 1:
            raise ValueError(f"expected rates in [0, 1], got {rate}")
    one, two = edit * (1 - edit), oracle * (1 - oracle)
    return math.sqrt(max(one + two - 2 * pairing * math.sqrt(one * two), 0.0))
