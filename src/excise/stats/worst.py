"""The largest excess over several attacks, with one upper bound that holds for all of them.

A maximum of estimates lies above the largest truth, and a maximum of ordinary upper bounds does not
hold at their level. The quantile of the largest standardised deviation does both jobs: Romano and
Wolf (2005), "Exact and approximate stepdown methods for multiple hypothesis testing", JASA 100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from excise.stats.clusters import Observations, difference_se
from excise.stats.errors import StandardError, combined

_CHUNK = 256  # bootstrap draws at a time; memory is _CHUNK x n
_EQUAL = 1e-9  # means that differ by less are the same, but for the order of their sums


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The largest excess, and the bound below which all of them lie at `level`.

    name: the attack with the largest estimate, the first of equals. value: that estimate, E; biased
        upwards, as any maximum. upper: U, the largest of `uppers`; "within d points" means U < d.
    values, uppers: by attack. quantile: by attack, of the standardised deviation.
    """

    name: str
    value: float
    upper: float
    level: float
    values: Mapping[str, float]
    uppers: Mapping[str, float]
    quantile: Mapping[str, float]


def cluster_bootstrap(
    samples: Mapping[str, Observations], rng: np.random.Generator, draws: int = 2000
) -> NDArray[np.float64]:
    """Means of samples whose factors' levels are drawn with replacement, (draws, len(samples)).

    Every factor is drawn by itself and a picture weighs the product of its levels' counts: Owen
    (2007), "The pigeonhole bootstrap", Ann. Appl. Stat. 1. Samples with the same levels of a factor
    of the same name get the same draw, so that what they share stays shared. The spread of these
    means is somewhat too wide when factors cross; their dependence is what they are used for.
    """
    levels = {
        (factor, data.codes(factor)[1]): None
        for data in samples.values()
        for factor in data.varying()
    }
    chunks = []
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start)
        counts = {
            key: rng.multinomial(len(key[1]), np.full(len(key[1]), 1 / len(key[1])), size=size)
            for key in levels
        }
        chunks.append(np.stack([_means(data, counts, size) for data in samples.values()], axis=1))
    return np.concatenate(chunks)


def worst_excess(
    samples: Mapping[str, Observations],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    draws: int = 2000,
    method: Literal["max-t", "bonferroni"] = "max-t",
    extra: Mapping[str, Sequence[StandardError]] | None = None,
) -> Worst:
    """E and U: the largest mean difference over attacks, and its simultaneous upper bound.

    Attack j is bounded by ``mean_j + q_j se_j`` with the clustered standard error. With `max-t`, q
    is the quantile of the largest standardised deviation among joint bootstrap draws, carried over
    from the normal to Student's distribution for few clusters, and never below the quantile for
    one attack. An attack without variation in the bootstrap takes Bonferroni's quantile, since the
    draws know nothing of its error; of m attacks it spends 1/m of the error, and the joint quantile
    of the others spends what is left.

    samples: by attack, differences in [-1, 1] paired by prompt and seed. Restarts are labelled by
        their attack, prompts and edit seeds are not, since attacks share those. Of equals the one
        that comes first is named.
    extra: by attack, standard errors that the samples do not show, such as that of the draw of
        restarts of which one served all prompts. They are added to that of the attack's mean, and
        the quantiles are those of the degrees of freedom of all of it: see `combined`.

    Raises:
        ValueError: there are no samples, or level not in (0, 1).
    """
    if not samples:
        raise ValueError("expected at least one attack, got none")
    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}")
    means = np.array([data.mean for data in samples.values()])  # (m,)
    whole = [
        combined(
            [
                StandardError(value=difference_se(data), freedom=data.fewest_levels - 1),
                *(extra or {}).get(name, ()),
            ]
        )
        for name, data in samples.items()
    ]
    errors = np.array([one.value for one in whole])  # (m,)
    freedom = np.array([one.freedom for one in whole])  # (m,)
    share = (1 - level) / len(samples)
    quantile = stdtrit(freedom, 1 - share)  # (m,), Bonferroni's
    if method == "max-t":
        drawn = cluster_bootstrap(samples, rng, draws)  # (draws, m)
        spread = drawn.std(axis=0)  # (m,)
        varies = spread > 1e-12
        if varies.any():
            # The others spend a share each, which these must not spend again.
            least = 1 - share * int(varies.sum())
            # A mean below the truth is what an upper bound must reckon with.
            fall = (means[varies] - drawn[:, varies]) / spread[varies]  # (draws, those)
            tail = NormalDist().cdf(float(np.quantile(fall.max(axis=1), least)))
            joint = stdtrit(freedom, min(max(tail, least), 1 - 1e-12))  # (m,)
            quantile = np.where(varies, np.minimum(joint, quantile), quantile)
    uppers = np.minimum(means + quantile * errors, 1.0)
    names = list(samples)
    top = int((means >= means.max() - _EQUAL).argmax())
    return Worst(
        name=names[top],
        value=float(means[top]),
        upper=float(uppers.max()),
        level=level,
        values=dict(zip(names, means.tolist(), strict=True)),
        uppers=dict(zip(names, uppers.tolist(), strict=True)),
        quantile=dict(zip(names, quantile.tolist(), strict=True)),
    )


def _means(
    data: Observations,
    counts: Mapping[tuple[str, tuple[str, ...]], NDArray[np.int64]],
    size: int,
) -> NDArray[np.float64]:
    weight = np.ones((size, len(data.values)))
    for factor in data.varying():
        codes, levels = data.codes(factor)
        weight *= counts[factor, levels][:, codes]  # (draws, levels) -> (draws, n)
    total = weight.sum(axis=1)
    # A table with gaps may lose all its cells in a draw, which then tells nothing.
    sums = weight @ data.values
    return np.where(total > 0, sums / np.maximum(total, 1), data.mean)
