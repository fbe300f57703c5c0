"""Registered metrics that have one figure a model, on the pictures that an evaluation draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from inspect import getdoc
from typing import Any, cast

from excise import registry
from excise.errors import ExciseError
from excise.method import Budget
from excise.metrics.base import BASE, EDIT, ORACLE, Metric, Work
from excise.primitives.probe import Look, Probe
from excise.primitives.vision import Extractor
from excise.reporting.findings import Measure
from excise.stats import Interval
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.sizes import SIZES
from excise.types import Costs

METRICS = "metrics"


@dataclass(frozen=True, eq=False, kw_only=True)
class Shared(Work):
    """An evaluation as metrics see it: what it drew for anything is drawn no second time."""

    bench: Bench

    def look(self, arm: str, probe: Probe, also: Mapping[str, Extractor] | None = None) -> Look:
        """As `Work.look`; of the evaluation's own models, from what it has kept."""
        own = next((one for one in self.bench.arms.values() if one is self.arms[arm]), None)
        if own is None or also:  # a model that the metric made, or eyes of its own
            return self._counted(arm, probe, also)
        return self.bench.look(own, probe, METRICS, described=True)

    def _counted(self, name: str, probe: Probe, also: Mapping[str, Extractor] | None) -> Look:
        """As `Work.look`, with what it costs among the evaluation's."""
        arm = self.arms[name]
        before = arm.model.costs
        look = super().look(name, probe, also)
        place = METRICS, getattr(arm, "key", "")
        if place[1] in self.bench.arms:
            spent = self.bench.spent
            spent[place] = spent.get(place, Costs()) + (arm.model.costs - before)
        return look


def registered(bench: Bench, book: Book) -> tuple[Measure, ...]:
    """A row for each metric that says what it wants; what cannot be had is noted on the bench.

    With as many pictures of each class as the evaluation draws anyway. What draws more is left out
    of a first look, and of sizes of one's own, which say what is to be drawn.
    """
    work = _work(bench)
    if EDIT not in work.arms:
        return ()
    rows = []
    for metric in _metrics(bench):
        row = _row(book, metric, work, _names(bench))
        if row.values:
            rows.append(row)
        elif row.note:
            bench.unmeasured[row.label] = row.note
    return tuple(rows)


def pictures_of(bench: Bench) -> int:
    """How many pictures of each edit metrics draw that nobody else does; for an estimate."""
    work = _work(bench)
    return sum(metric.drawn(work) for metric in _metrics(bench) if metric.more)


def _metrics(bench: Bench) -> Iterator[Metric]:
    """Those that have a row, with the evaluation's sizes."""
    sizes = bench.sizes
    more = sizes == SIZES.get(cast("Budget", sizes.name)) and not sizes.cascade
    for name in registry.names("metric"):
        kind: type[Metric] = registry.get("metric", name)
        if kind.want is not None and (more or not kind.more):
            yield _sized(kind, bench)


def _work(bench: Bench) -> Shared:
    """The evaluation as metrics see it."""
    names = _names(bench)
    return Shared(
        arms={names[key]: arm for key, arm in bench.arms.items()},
        concepts=(bench.full,),
        seed=bench.seed,
        judge=bench.judge,
        progress=bench.progress,
        features=bench.features,
        bench=bench,
    )


def _names(bench: Bench) -> dict[str, str]:
    """What metrics call each arm, by its key."""
    roles = {"edit": EDIT, "base": BASE, "oracle": ORACLE}
    firsts = {arm.key: roles[role] for role in roles if (arm := bench.role(role)) is not None}
    return {key: firsts.get(key, key) for key in bench.arms}


def _sized(kind: type[Metric], bench: Bench) -> Metric:
    """The metric, with as many pictures as the evaluation has, where it counts them by class."""
    made: Metric = kind().at(bench.sizes.effort)
    return replace(made, pictures=bench.sizes.kept) if kind.budgets is Metric.budgets else made


def _row(book: Book, metric: Metric, work: Work, names: Mapping[str, str]) -> Measure:
    """One without values says in its note why there are none."""
    label = metric.label or metric.name.replace("_", " ")
    values: dict[str, Interval] = {}
    about = " ".join((getdoc(type(metric)) or "").split("\n\n")[0].split())
    try:
        answer = metric.answer(work)
        figures = metric.figures(answer)
        values = {key: _figure(figures[name]) for key, name in names.items() if name in figures}
        said = metric.said(answer)
    except ExciseError as error:
        said = str(error)
    note = " ".join(part for part in (about, said) if part) if values else said
    return Measure(
        name=metric.name,
        label=label,
        values=book.estimates(label, values),
        want=metric.want or "high",
        note=note,
    )


def _figure(found: Any) -> Interval:
    """From a number, or from value, low, high and level."""
    if isinstance(found, Mapping):
        return Interval(**found)
    return Interval(value=float(found), low=float(found), high=float(found), level=0.95)
