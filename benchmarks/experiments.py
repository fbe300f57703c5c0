"""Experiments on the development concepts: ``python benchmarks/experiments.py [name ...]``.

Each writes ``docs/experiments/NAME.json``, a plot beside it, and ``docs/experiments.md``. A point
is kept as soon as it is measured, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plots
import torch
from controls import PARTS, WAYS
from lab import Lab, Row
from pages import page
from strengths import Strengths
from study import Study

from excise.progress import for_stream
from excise.store import write_json

DOCS = Path(__file__).resolve().parent.parent / "docs" / "experiments"
DEVELOPED = ("cat", "sketch")
ESD = {"batch": 16, "trajectories": 100, "sampling_steps": 12}
ASCENT = {"batch": 32, "weighting": "min_snr", "pictures": 192, "retain_walks": 192}
HELD = {"lr": 1e-4, "ceiling": 3.0, "retain": 1.0}
RIVALS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "esd": [
        {**ESD, "variant": "x", "lr": 1e-4},
        {**ESD, "variant": "x", "lr": 3e-4},
        {**ESD, "variant": "x", "lr": 1e-3},
        {**ESD, "variant": "x", "lr": 3e-4, "eta": 4.0},
        {**ESD, "variant": "x", "lr": 3e-4, "steps": 400},
        {**ESD, "variant": "u", "lr": 3e-5},
        {**ESD, "variant": "u", "lr": 1e-4},
        {**ESD, "variant": "u", "lr": 1e-4, "eta": 4.0},
    ],
    "gradient_ascent": [
        {**ASCENT, "lr": 3e-5},
        {**ASCENT, "lr": 1e-4, "steps": 100},
        {**ASCENT, **HELD},
        {**ASCENT, **HELD, "ceiling": 6.0},
        {**ASCENT, **HELD, "retain": 5.0},
        {**ASCENT, **HELD, "retain": 5.0, "ceiling": 6.0},
        {**ASCENT, **HELD, "retain": 5.0, "lr": 3e-4},
        {**ASCENT, **HELD, "retain": 5.0, "retain_walks": 768, "steps": 400},
    ],
}
"""Settings of the rivals that are tried."""


def say_hits(row: Mapping[str, Any]) -> None:
    """One line a set and strength."""
    hits, looks = row["hits"], row["looks"]
    rate = sum(hits) / (len(hits) * looks)
    best = max(hits) / looks
    sys.stdout.write(
        f"{row['concept']} {row['set']} at {row['alpha']:g}: {rate:.0%}, best {best:.0%}\n"
    )
    sys.stdout.flush()


def curves(lab: Lab) -> Iterable[Row]:
    """Ways to make the vector, each at several strengths."""
    for concept in DEVELOPED:
        for maker in (*WAYS, "of dog"):
            for alpha in (1.0, 2.0, 3.0):
                yield lab.scaled(maker, concept, alpha, {})


def healing(lab: Lab) -> Iterable[Row]:
    """How hard to erase, how to heal, what to pin: the default, and one change at a time."""
    tried: list[dict[str, Any]] = [
        {},
        {"hard": 2.0},
        {"hard": 3.0},
        {"hard": 4.0},
        {"pin_to": "null"},
        {"pin_rounds": 0},
        {"spaces": ["token"]},
        {"walks": 192},
        {"heal": 150},
        {"stand_in": True},
        {"near": 3},
        {"stand_in": True, "near": 3, "walks": 1152},
    ]
    for concept in DEVELOPED:
        for settings in tried:
            yield lab.healed(concept, settings)


def settings(lab: Lab) -> Iterable[Row]:
    """The rivals, each with as many trial edits as the default had; the best are then frozen."""
    for concept in DEVELOPED:
        for method, tried in RIVALS.items():
            for own in tried:
                yield lab.trial(concept=concept, method=method, settings=own)


def parts(lab: Lab) -> Iterable[Row]:
    """A part of the vector against the whole, parts by chance, and vectors of something else."""
    for concept in DEVELOPED:
        for maker in ("plain", *PARTS, "of dog", "generic", "shuffled"):
            for alpha in (1.0, 2.0, 3.0, 4.0):
                yield lab.scaled(maker, concept, alpha, {})


def strength(lab: Lab) -> Iterable[Row]:
    """The strength that sets of inputs predict, and that which a fresh search needs."""
    for concept in DEVELOPED:
        direction = lab.direction("plain", concept, {})
        for row in Strengths(lab.study, concept, direction, seed=0).rows():
            say_hits(row)
            yield row


Plot = Callable[[Sequence[Row], Path], None]
EXPERIMENTS: dict[str, tuple[Callable[[Lab], Iterable[Row]], Plot]] = {
    "curves": (curves, plots.trade_off),
    "healing": (healing, plots.trade_off),
    "settings": (settings, plots.trade_off),
    "parts": (parts, plots.trade_off),
    "strength": (strength, plots.strengths),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", choices=[[], *EXPERIMENTS], help="default: all")
    parser.add_argument("--work", type=Path, default=None, help="where points are kept")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    lab = Lab(study=Study(options.work, for_stream(sys.stderr)))
    for name in options.names or EXPERIMENTS:
        run, plot = EXPERIMENTS[name]
        rows = list(run(lab))
        write_json(DOCS / f"{name}.json", rows)
        plot(rows, DOCS / f"{name}.svg")
        page(DOCS, DOCS.with_suffix(".md"))


if __name__ == "__main__":
    main()
