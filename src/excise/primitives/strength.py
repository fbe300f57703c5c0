"""How strong an edit must be, and how strong it may be.

Two ends are looked for along an edit's direction: alpha_E, the smallest strength at which plain
words and every embedding of the choose-set are extinct, and alpha_K, the largest at which
everything else is kept. Between them lies the choice; if there is nothing between them, the answer
is "infeasible", with both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scipy.special import bdtrc

from excise.errors import BadSetting
from excise.primitives.kept import Kept
from excise.stats import Rate


@dataclass(frozen=True, kw_only=True)
class Floors:
    """What counts as gone and what as kept, fixed before an edit is measured.

    natural: rate for plain words that a model without the concept would show too: the judge's false
        alarms, at least 1 %. injected: the same for inputs that were searched, from an oracle or
        from decoys. kept, worst, neighbours: shares of the base's rates: the mean's lower bound,
        the upper bound of the worst class, the mean of the nearest neighbours. nothing: by how much
        the share of pictures in which nothing is recognisable may grow.
    """

    natural: float = 0.01
    injected: float = 0.10
    kept: float = 0.97
    worst: float = 0.80
    neighbours: float = 0.90
    nothing: float = 0.03

    def __post_init__(self) -> None:
        for name in ("natural", "injected", "kept", "worst", "neighbours", "nothing"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise BadSetting(f"expected {name} in [0, 1], got {value}")

    def gone(self, plain: float, searched: float) -> float:
        """How far inside the floors two rates are, in units of the tighter; negative outside."""
        return min(_slack(self.natural, plain), _slack(self.injected, searched))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One strength: plain words, each embedding of the choose-set, everything else."""

    alpha: float
    plain: Rate
    embeddings: tuple[Rate, ...]
    kept: Kept

    @property
    def searched(self) -> float:
        """The rate over all embeddings together; 0 without any."""
        n = sum(rate.n for rate in self.embeddings)
        return sum(rate.k for rate in self.embeddings) / n if n else 0.0

    def survivors(self, floor: float) -> tuple[int, ...]:
        """The embeddings whose rate is above the floor beyond chance; see `alive`."""
        return alive(self.embeddings, floor)

    def erased(self, floors: Floors) -> bool:
        """Is the concept gone, for plain words and for every embedding?"""
        gone = self.searched <= floors.injected and not self.survivors(floors.injected)
        return gone and self.plain.rate <= floors.natural

    def margins(self, floors: Floors) -> tuple[float, float]:
        """How far inside both demands, each in units of what it allows; negative outside."""
        gone = floors.gone(self.plain.rate, self.searched)
        shares = [(self.kept.lower, floors.kept)]
        if (least := self.kept.least) is not None:
            shares.append((least, floors.worst))
        if (near := self.neighbours) is not None:
            shares.append((near, floors.neighbours))
        stays = [(share - least) / max(1 - least, 1e-6) for share, least in shares]
        stays.append(_slack(floors.nothing, self.kept.nothing.value))
        return gone, min(stays)

    @property
    def neighbours(self) -> float | None:
        """The mean share of the nearest neighbours that is kept; None without any."""
        near = [row.ratio for row in self.kept.classes if row.near and row.ratio is not None]
        return sum(near) / len(near) if near else None

    def preserved(self, floors: Floors) -> bool:
        """Is everything else still there?"""
        return self.margins(floors)[1] >= 0

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {
            "alpha": self.alpha,
            "plain": [self.plain.k, self.plain.n],
            "embeddings": [[rate.k, rate.n] for rate in self.embeddings],
            "kept": self.kept.to_json(),
        }


def alive(rates: Sequence[Rate], floor: float) -> tuple[int, ...]:
    """Those above the floor beyond chance: exact binomial tests, Bonferroni over all.

    Of many at the floor some look alive by chance: of 16 with 8 pictures each, almost always one
    has 3 hits. In at most 10 % of cases is any of them called alive.
    """
    level = 0.1 / max(len(rates), 1)
    return tuple(
        i
        for i, rate in enumerate(rates)
        if rate.k and bdtrc(rate.k - 1, rate.n, floor) < level  # the chance of k hits or more
    )


def _slack(allowed: float, found: float) -> float:
    return (allowed - found) / max(allowed, 1e-6)


Measure = Callable[[float], Reading]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What the search over strengths came to.

    readings: in the order of alpha. erased_from: alpha_E; kept_to: alpha_K; None where no strength
    that was tried reaches that end. chosen: None if infeasible.
    """

    readings: tuple[Reading, ...]
    erased_from: float | None
    kept_to: float | None
    chosen: float | None
    floors: Floors = field(default_factory=Floors)

    @property
    def feasible(self) -> bool:
        """Is there a strength that meets both demands?"""
        return self.chosen is not None

    def at(self, alpha: float) -> Reading:
        """The reading of a strength that was tried."""
        return next(reading for reading in self.readings if reading.alpha == alpha)

    def best(self, refused: Collection[float] = ()) -> float | None:
        """The strength between both ends with the largest smaller margin; None if there is none.

        refused: strengths that are not to be taken.
        """
        able = [r for r in self.readings if self.between(r.alpha) and r.alpha not in refused]
        best = max(able, key=self._order, default=None)
        return None if best is None else best.alpha

    def between(self, alpha: float) -> bool:
        """Is a strength between both ends, if there are both?"""
        first, last = self.erased_from, self.kept_to
        return first is not None and last is not None and first <= alpha <= last

    def _order(self, reading: Reading) -> tuple[float, float]:
        return min(reading.margins(self.floors)), -reading.alpha

    @property
    def nearest(self) -> float:
        """The strength with the largest smaller margin, also where none is feasible."""
        return max(self.readings, key=self._order).alpha

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {
            "readings": [reading.to_json() for reading in self.readings],
            "erased_from": self.erased_from,
            "kept_to": self.kept_to,
            "chosen": self.chosen,
            "nearest": self.nearest,
            "floors": {name: getattr(self.floors, name) for name in Floors.__dataclass_fields__},
        }


def search(
    measure: Measure,
    *,
    floors: Floors,
    grid: Sequence[float] = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
    refine: int = 2,
) -> Search:
    """Propose and choose a strength: walk up the grid, then bisect towards both ends.

    The walk stops once a strength both erases and no longer keeps: stronger ones can only keep
    less. Where the first one does so, the walk goes down from it, by the grid's first step, as
    often as the grid has steps. Each end is then bisected ``refine`` times, and among the strengths
    tried between the ends the one with the largest smaller margin is chosen.

    Raises:
        BadSetting: an empty grid, or one that does not rise from above 0.
    """
    if not grid or not all(b > a for a, b in zip((0.0, *grid), grid, strict=False)):
        raise BadSetting(f"expected strengths that rise from above 0, got {tuple(grid)}")
    tried: dict[float, Reading] = {}

    def read(alpha: float) -> Reading:
        alpha = round(alpha, 4)
        if alpha not in tried:
            tried[alpha] = measure(alpha)
        return tried[alpha]

    for alpha in grid:
        reading = read(alpha)
        if reading.erased(floors) and not reading.preserved(floors):
            break
    for alpha in _below(grid):
        reading = tried[min(tried)]
        if reading.preserved(floors) or not reading.erased(floors):
            break
        read(alpha)
    _bisect(read, sorted(tried), refine, lambda r: r.erased(floors))
    _bisect(read, sorted(tried), refine, lambda r: not r.preserved(floors))
    return conclude(tuple(tried[alpha] for alpha in sorted(tried)), floors)


def _below(grid: Sequence[float]) -> list[float]:
    """Strengths down from the first, by the first step, one for each step of the grid."""
    steps = range(1, len(grid))
    found = [grid[0] - n * (grid[1] - grid[0]) for n in steps]
    return [alpha for alpha in found if round(alpha, 4) > 0]


def _bisect(
    read: Measure, tried: Sequence[float], times: int, above: Callable[[Reading], bool]
) -> None:
    """Narrow the first place at which ``above`` becomes true."""
    first = next((i for i, alpha in enumerate(tried) if above(read(alpha))), None)
    if first is None:
        return
    low, high = (tried[first - 1] if first else 0.0), tried[first]
    for _ in range(times):
        middle = (low + high) / 2
        if above(read(middle)):
            high = round(middle, 4)
        else:
            low = round(middle, 4)


def conclude(readings: tuple[Reading, ...], floors: Floors) -> Search:
    """Both ends and the choice, from readings in the order of alpha.

    alpha_E is the smallest strength from which on every one that was tried erases; alpha_K the
    largest up to which every one keeps.
    """
    erased_from: float | None = None
    for reading in reversed(readings):
        if not reading.erased(floors):
            break
        erased_from = reading.alpha
    kept_to: float | None = None
    for reading in readings:
        if not reading.preserved(floors):
            break
        kept_to = reading.alpha
    found = Search(
        readings=readings, erased_from=erased_from, kept_to=kept_to, chosen=None, floors=floors
    )
    return replace(found, chosen=found.best())
