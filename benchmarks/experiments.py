"""Experiments on the development concepts: ``python benchmarks/experiments.py [name ...]``.

Each writes ``docs/experiments/NAME.json`` and a plot beside it. A point is kept as soon as it is
measured, so a run that was stopped goes on; ``--list`` says what there is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import plots
import torch
from strengths import Strengths
from study import Study, Trial, figures
from vectors import MAKERS, PARTS, WAYS, of_another

from excise.edit import Edit, Recipe
from excise.erasers import task_vector
from excise.erasers.base import Work
from excise.erasers.mending import mended
from excise.primitives import arithmetic
from excise.primitives.prompts import completed
from excise.progress import for_stream
from excise.settings import build, recipe
from excise.store import Stage, Stages, hash_json, load_tensors, read_json, save_tensors, write_json

DOCS = Path(__file__).resolve().parent.parent / "docs" / "experiments"
DEVELOPED = ("cat", "sketch")
Row = dict[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Shared(Work):
    """A run whose pictures and lessons other runs may share. own: what is its alone."""

    own: Any = None

    def stage(self, name: str) -> Stage | None:
        """The run's own settings count only where it trains."""
        trains = name.startswith("heal-") and name != "heal-kept"
        key: Any = [self.key, self.own] if trains else self.key
        return None if self.stages is None else self.stages.stage(name, key)


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A study, and where points are kept."""

    study: Study

    def point(self, name: Mapping[str, Any], make: Callable[[], Edit]) -> Row:
        """One edit's figures, found where they were kept or measured now."""
        file = self.study.work / "points" / f"{hash_json(dict(name))[:16]}.json"
        if not file.exists():
            edit, concept = make(), str(name["concept"])
            found = figures(self.study.report(edit, concept, seed=int(name.get("seed", 0))))
            write_json(file, {**name, **found})
        row: Any = read_json(file)
        say(row)
        return dict(row)

    def direction(
        self, maker: str, concept: str, settings: Mapping[str, Any], seed: int = 0
    ) -> dict[str, torch.Tensor]:
        """A vector made in one of the ways of `vectors`."""
        key: Any = [maker, concept, dict(settings), seed, self.study.model.fingerprint()]
        file = self.study.work / "vectors" / f"{hash_json(key)[:16]}.safetensors"
        if not file.exists():
            model = self.study.model
            method = task_vector.TaskVector.fitted(model, settings)
            work = self.work(concept, method, seed, maker)
            make = of_another(maker[3:]) if maker.startswith("of ") else MAKERS[maker]
            save_tensors(file, make(method, work))
        return dict(load_tensors(file)[0])

    def work(
        self, concept: str, method: task_vector.TaskVector, seed: int, maker: str = "plain"
    ) -> Shared:
        """A run on a concept, whose stages are kept; ways to make a vector share none."""
        model = self.study.model
        shared: Any = [maker, concept, seed, method.pictures, method.walks, model.fingerprint()]
        return Shared(
            model=model,
            concepts=(completed(model, self.study.concept(concept, shown=False)),),
            seed=seed,
            judge=None,
            progress=self.study.progress,
            stages=Stages(self.study.work / "stages"),
            key=shared,
            own=recipe(method),
        )

    def healed(
        self, concept: str, settings: Mapping[str, Any], seed: int = 0, alpha: float = 1.0
    ) -> Row:
        """The point of a vector that was healed in some way, at a strength."""
        name = {
            "experiment": "healed",
            "concept": concept,
            "settings": dict(settings),
            "seed": seed,
            "alpha": alpha,
        }

        def make() -> Edit:
            model = self.study.model
            method = task_vector.TaskVector.fitted(model, settings)
            work = self.work(concept, method, seed)
            tau = arithmetic.negated(self.direction("plain", concept, {}, seed))
            found = mended(method, work, tau)
            edited = Recipe.of(method, work.concepts, seed=seed)
            return Edit.of(model, arithmetic.scaled(found.deltas, alpha), recipe=edited)

        return self.point(name, make)

    def scaled(
        self, maker: str, concept: str, alpha: float, settings: Mapping[str, Any], seed: int = 0
    ) -> Row:
        """The point of a vector at a strength."""
        name = {
            "experiment": "vector",
            "maker": maker,
            "concept": concept,
            "alpha": alpha,
            "settings": dict(settings),
            "seed": seed,
        }

        def make() -> Edit:
            deltas = arithmetic.scaled(self.direction(maker, concept, settings, seed), alpha)
            method = replace(build(task_vector.TaskVector, {}), strength=alpha, variant="paper")
            target = completed(self.study.model, self.study.concept(concept, shown=False))
            recipe = Recipe.of(method, (target,), seed=seed)
            return Edit.of(self.study.model, deltas, recipe=recipe)

        return self.point(name, make)

    def trial(self, **given: Any) -> Row:
        """The point of a method's own edit."""
        trial = Trial(**given)
        name = {"experiment": "method", **given}
        return self.point(name, lambda: self.study.edit(trial)[0])


def say(row: Mapping[str, Any]) -> None:
    """One line a point, on the terminal."""
    keep = ("concept", "maker", "method", "alpha", "settings")
    head = " ".join(f"{row[k]}" for k in keep if k in row)
    rungs = " ".join(
        f"{key}: "
        + "/".join(f"{rates.get(arm, float('nan')):.0%}" for arm in ("base", "edit", "oracle"))
        for key, rates in row.get("rungs", {}).items()
        if rates
    )
    line = (
        f"{head} | plain {row['plain']:.1%} kept {row.get('kept', 0):.1%} "
        f"(low {row.get('kept_low') or 0:.1%}, worst {row.get('worst_label')} "
        f"{row.get('worst', 0):.0%}, near {row.get('near') or 0:.0%}) | {rungs}"
    )
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


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
    """How hard to erase, how to heal, what to pin."""
    tried: list[dict[str, Any]] = [
        {"hard": hard, "pin_to": to, "pin_rounds": rounds}
        for rounds in (0, 1)
        for hard in (2.0, 3.0, 4.0)
        for to in ("hard", "null")
    ]
    for concept in DEVELOPED:
        for settings in tried:
            yield lab.healed(concept, settings)


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


if __name__ == "__main__":
    main()
