"""Experiments on the development concepts: ``python benchmarks/experiments.py [name ...]``.

Each writes ``docs/experiments/NAME.json``, most of them a plot beside it, and all of them
``docs/experiments.md``. A point is kept as soon as it is measured, so a run that was stopped goes
on. On two cores two runs of one thread each, ``--concept cat`` and ``--concept sketch``, get more
done than one of two.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import plots
from controls import PARTS, WAYS
from lab import Lab
from pages import page
from rivals import KINDS, RIVALS
from strengths import Strengths
from study import Row, opened

from excise.errors import NumericalError, UserError
from excise.store import write_json

DOCS = Path(__file__).resolve().parent.parent / "docs" / "experiments"
DEVELOPED = tuple(KINDS)
STRENGTHS = (1.0, 2.0, 3.0)


def say_hits(row: Mapping[str, Any]) -> None:
    """One line a set and strength."""
    hits, looks = row["hits"], row["looks"]
    rate = sum(hits) / (len(hits) * looks)
    best = max(hits) / looks
    sys.stdout.write(
        f"{row['concept']} {row['set']} at {row['alpha']:g}: {rate:.0%}, best {best:.0%}\n"
    )
    sys.stdout.flush()


def curves(lab: Lab, concepts: Sequence[str]) -> Iterable[Row]:
    """Ways to make the vector, each at several strengths."""
    for concept in concepts:
        for maker in (*WAYS, "of dog"):
            for alpha in STRENGTHS:
                yield lab.scaled(maker, concept, alpha, {})


HEALED: Sequence[Mapping[str, Any]] = ({}, {"adversaries": 0})
OTHER: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "cat": (
        {"details": 0.0},
        {"anywhere": 256},
        {"pin_to": "away"},
        {"pin_to": "away", "away": 3.0},
    ),
    "sketch": ({"details": 0.5}, {"anywhere": 0}, {"pin_to": "hard"}, {"away": 0.0}),
}
"""What the other kind of thing has by default: a style is held down under prompts of other things
as well, and away from what they ask for; an object is held to the hard edit, also for its details
under inputs that follow the edit."""
HEALED_SEEDS = (0, 1)
"""What an edit withstands varies from seed to seed by more than one setting from another."""


def healing(lab: Lab, concepts: Sequence[str]) -> Iterable[Row]:
    """How to heal and what to hold down: the default, and one change at a time.

    As many settings as every rival has, each on two seeds.
    """
    for concept in concepts:
        for settings in (*HEALED, *OTHER[concept]):
            for seed in HEALED_SEEDS:
                yield lab.healed(concept, settings, seed=seed)


def settings(lab: Lab, concepts: Sequence[str]) -> Iterable[Row]:
    """The two that the README compares with, each with as many trial edits as `healing` has."""
    yield from tried(lab, concepts, ("esd", "gradient_ascent"))


def methods(lab: Lab, concepts: Sequence[str]) -> Iterable[Row]:
    """Every other method, each with as many."""
    yield from tried(
        lab, concepts, [name for name in RIVALS if name not in ("esd", "gradient_ascent")]
    )


def tried(lab: Lab, concepts: Sequence[str], names: Iterable[str]) -> Iterable[Row]:
    """Methods under the settings of `RIVALS`; what a method refuses is a row that says why."""
    for method in names:
        for concept in concepts:
            for own in RIVALS[method]:
                try:
                    yield lab.trial(concept=concept, method=method, settings=own)
                except (UserError, NumericalError) as error:
                    sys.stdout.write(f"{concept} {method} {own}: {error}\n")
                    yield {"experiment": "method", "concept": concept, "method": method,
                           "settings": dict(own), "why": str(error)}  # fmt: skip


def parts(lab: Lab, concepts: Sequence[str]) -> Iterable[Row]:
    """A part of the vector against the whole, parts by chance, and vectors of something else."""
    for concept in concepts:
        for maker in ("plain", *PARTS, "of dog", "generic", "shuffled"):
            for alpha in STRENGTHS:
                yield lab.scaled(maker, concept, alpha, {})


def drift(lab: Lab, concepts: Sequence[str]) -> Iterator[Row]:
    """How much of a concept's vector any fine-tune on the model's own pictures has, by block."""
    for concept in concepts:
        yield from lab.drift(concept, {})


def strength(lab: Lab, concepts: Sequence[str]) -> Iterable[Row]:
    """The strength that sets of inputs predict, and that which a fresh search needs."""
    for concept in concepts:
        direction = lab.direction("plain", concept, {})
        for row in Strengths(lab.study, concept, direction, seed=0).rows():
            say_hits(row)
            yield row


Run = Callable[[Lab, Sequence[str]], Iterable[Row]]
Plot = Callable[[Sequence[Row], Path], None]
EXPERIMENTS: dict[str, tuple[Run, Plot | None]] = {
    "curves": (curves, plots.over_oracle),
    "healing": (healing, plots.trade_off),
    "settings": (settings, plots.by_method),
    "methods": (methods, plots.by_method),
    "parts": (parts, plots.over_oracle),
    "drift": (drift, None),
    "strength": (strength, plots.strengths),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", choices=[[], *EXPERIMENTS], help="default: all")
    parser.add_argument("--concept", choices=DEVELOPED, help="only its points, and no page")
    options, study = opened(parser)
    lab = Lab(study=study)
    for name in options.names or EXPERIMENTS:
        run, plot = EXPERIMENTS[name]
        rows = list(run(lab, DEVELOPED if options.concept is None else (options.concept,)))
        if options.concept is not None:
            continue
        write_json(DOCS / f"{name}.json", rows)
        if plot is not None:
            plot(rows, DOCS / f"{name}.svg")
        page(DOCS, DOCS.with_suffix(".md"))


if __name__ == "__main__":
    main()
