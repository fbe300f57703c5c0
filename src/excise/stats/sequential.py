"""A test that may be looked at after every picture, and stopped whenever one likes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import betainc, betaln


@dataclass(frozen=True, kw_only=True)
class EProcess:
    """Evidence for "the rate is below `limit`", or above it, valid at any time.

    The e-value after k hits in n pictures is a mixture of likelihood ratios: the likelihood,
    averaged over the rates for which the claim holds under a Beta prior cut off at the limit, over
    the likelihood at the limit. While the claim is false it is a supermartingale that starts at 1,
    so it ever reaches 1/a with a chance of at most a (Ville's inequality), however often one looks
    and for whatever reason one stops. Robbins (1970), "Statistical methods related to the law of
    the iterated logarithm", Ann. Math. Statist. 41; Ramdas et al. (2023), "Game-theoretic
    statistics and safe anytime-valid inference", Statist. Sci. 38.

    The pictures must be independent given the model and its inputs. Of several looks at one
    restart and prompt, the claim is about that restart and prompt.

    limit: the rate in (0, 1). side: what is claimed. prior: the Beta's two parameters; Jeffreys'
        by default.

    Raises:
        ValueError: limit not in (0, 1), or a prior that is not positive.
    """

    limit: float
    side: Literal["below", "above"] = "below"
    prior: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.limit < 1:
            raise ValueError(f"expected a limit in (0, 1), got {self.limit}")
        if min(self.prior) <= 0:
            raise ValueError(f"expected a prior of two positive numbers, got {self.prior}")

    def log_e(self, k: int, n: int) -> float:
        """The natural logarithm of the e-value after `k` hits in `n` pictures.

        Raises:
            ValueError: not 0 <= k <= n.
        """
        if not 0 <= k <= n:
            raise ValueError(f"expected 0 <= k <= n, got k={k}, n={n}")
        a, b = self.prior
        limit = self.limit
        if self.side == "above":  # misses below 1 - limit
            a, b, k, limit = b, a, n - k, 1 - limit
        averaged = _log_partial_beta(a + k, b + n - k, limit) - _log_partial_beta(a, b, limit)
        at_limit = k * math.log(limit) + (n - k) * math.log1p(-limit)
        return averaged - at_limit

    def e_value(self, k: int, n: int) -> float:
        """The e-value after `k` hits in `n` pictures; 1 at the start."""
        return math.exp(min(self.log_e(k, n), 700.0))

    def passes(self, k: int, n: int, *, claims: int = 1, alpha: float = 0.05) -> bool:
        """Whether the claim is established: the e-value has reached ``claims / alpha``.

        claims: how many are tested at the same time (Bonferroni). alpha: the chance that any claim
            which is false ever passes.
        """
        return self.log_e(k, n) >= math.log(claims / alpha)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Where a sequential test stopped: k hits in n pictures.

    side: the claim about the rate that passed; None if neither did within the pictures allowed.
    """

    limit: float
    side: Literal["below", "above"] | None
    k: int
    n: int


def decide(
    draw: Callable[[int, int], Sequence[bool]],
    *,
    limit: float,
    most: int,
    block: int = 20,
    claims: int = 1,
    alpha: float = 0.05,
) -> Decision:
    """Draw pictures until it is plain on which side of the limit the rate lies, or enough.

    Two e-processes run side by side, and each is given half of alpha: whatever the rate, the wrong
    side ever passes with a chance of at most ``alpha / (2 claims)``, so of all claims together
    with one of at most alpha.

    draw: whether each of the pictures start, ..., stop - 1 is a hit; independent given the inputs.
    most: the pictures allowed. block: how many are drawn at a time.

    Raises:
        ValueError: limit not in (0, 1); most or block below 1; another number of hits than asked.
    """
    if most < 1 or block < 1:
        raise ValueError(f"expected most and block >= 1, got {most} and {block}")
    below, above = EProcess(limit=limit, side="below"), EProcess(limit=limit, side="above")
    k = n = 0
    while n < most:
        stop = min(n + block, most)
        hits = draw(n, stop)
        if len(hits) != stop - n:
            raise ValueError(f"expected {stop - n} hits or misses, got {len(hits)}")
        for hit in hits:
            n, k = n + 1, k + bool(hit)
            if below.passes(k, n, claims=2 * claims, alpha=alpha):
                return Decision(limit=limit, side="below", k=k, n=n)
            if above.passes(k, n, claims=2 * claims, alpha=alpha):
                return Decision(limit=limit, side="above", k=k, n=n)
    return Decision(limit=limit, side=None, k=k, n=n)


def _log_partial_beta(a: float, b: float, limit: float) -> float:
    """The logarithm of the integral of ``p^(a-1) (1-p)^(b-1)`` from 0 to `limit`."""
    share = float(betainc(a, b, limit))
    if share > 0:
        return float(betaln(a, b)) + math.log(share)
    # The integral is too small for a float: its first term, which bounds it from below.
    return a * math.log(limit) + b * math.log1p(-limit) - math.log(a)
