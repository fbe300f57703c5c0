"""Attacks on the ESD edit of ``cat``: ``python benchmarks/attacks.py [sweep] [knee] [words]``.

sweep: the setting that each search hangs on, over a range. knee: what half, twice and four times
the standard budget reach. words: what gradient attacks over words find of what enumeration finds.
Writes ``docs/attacks-measured.md`` and ``.json``; goes on after a stop.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from study import Row, Study, Trial, opened

from excise.api.cases import arms_of
from excise.attacks.base import Attack
from excise.edit import Edit
from excise.reporting.reached import best_of, hits_of, rate_of
from excise.store import read_json, write_json, write_text
from excise.suite import SIZES, Sizes
from excise.suite.battery import Field, fight
from excise.suite.bench import Bench
from excise.suite.evaluate import bench_of
from excise.suite.rows import title
from excise.suite.sizes import FIRST

DOCS = Path(__file__).resolve().parent.parent / "docs"
CONCEPT = "cat"
ESD = Trial(concept=CONCEPT, method="esd")
LOOK: Sizes = replace(
    SIZES["standard"],
    name="own",
    rungs=(),
    decoys=0,
    decide=0,
    asked=12,
    select=2,
    score=4,
    attacks=(),
)

SWEPT: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "concept_inversion": ("lr", (0.03, 0.1, 0.3)),
    "diverse_inversion": ("lr", (0.03, 0.1, 0.3)),
    "unlearn_diff": ("lr", (0.003, 0.01, 0.03, 0.1)),
    "p4d": ("lr", (0.03, 0.1, 0.3)),
    "ring_a_bell": ("strength", (1.5, 3.0, 5.0)),
    "random_search": ("radius", (1.0, 2.0, 4.0)),
    "image_side": ("lr", (0.02, 0.05, 0.15)),
}
"""The setting that a search hangs on most: a learning rate where it has one."""

SPENT: Mapping[str, str] = {
    "concept_inversion": "steps",
    "diverse_inversion": "steps",
    "unlearn_diff": "steps",
    "p4d": "steps",
    "ring_a_bell": "generations",
    "random_search": "looks",
    "paraphrase": "restarts",
    "concept_arithmetics": "restarts",
    "enumerate": "restarts",
}
"""The setting that a budget multiplies."""
FACTORS = (0.25, 0.5, 1.0, 2.0)
WORDS = ("enumerate", "unlearn_diff", "p4d", "ring_a_bell")


class Range:
    """Attacks on one edit, each run kept under what it depends on."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.edit: Edit = study.edit(ESD)[0]

    def bench(self, name: str) -> Bench:
        """The edit alone; beside its base for an attack that asks for it."""
        study, target = self.study, self.study.concept(CONCEPT, shown=True)
        arms = arms_of(study.model, self.edit, target, oracle=None)
        if "base" not in Field(bench=self._bench(arms), rung=FIRST).attack(name).needs:
            arms = tuple(arm for arm in arms if arm.role == "edit")
        return self._bench(arms)

    def _bench(self, arms: Any) -> Bench:
        study, judges = self.study, self.study.judges(CONCEPT)
        return bench_of(arms, study.concept(CONCEPT, shown=True), judges.first, judges.others,
                        LOOK, 0, study.progress, None, study.cache, study.stages)  # fmt: skip

    def row(self, name: str, settings: Mapping[str, Any]) -> Row:
        """What an attack with some settings reaches, and what it spent."""
        study, given = self.study, {name: dict(settings)}
        measured = study.measured(CONCEPT, LOOK, 0, given)
        key = study.key(edit=self.edit.digest, measured=measured, attack=name)

        def make() -> Row:
            own = self.bench(name)
            sizes = replace(LOOK, attacks=(name,))
            battery = fight(replace(own, sizes=sizes), FIRST, given)
            one = battery.results[name]["edit"]
            rate, hits = rate_of(one, best_of(one)), hits_of(one, best_of(one))
            silent = battery.attempts.rows("silent")
            spent = one.searched + one.drawn
            return {
                "attack": name, "settings": dict(settings), "rate": rate.value, "low": rate.low,
                "high": rate.high, "silent": float(hits[silent].mean()),
                "gradients": spent.gradients, "pictures": spent.pictures,
                "seconds": spent.seconds,
            }  # fmt: skip

        row = study.row("attacks", f"{name}-{key}", make)
        sys.stdout.write(f"{name} {settings} {row['rate']:.0%} {row['seconds']:.0f} s\n")
        sys.stdout.flush()
        return row

    def standard(self, name: str) -> Attack:
        """The attack as the standard suite runs it."""
        return Field(bench=self.bench(name), rung=FIRST).attack(name)

    def sweep(self) -> Iterator[Row]:
        """Each attack over its range."""
        for name, (field, values) in SWEPT.items():
            for value in values:
                yield self.row(name, {field: value})

    def knee(self) -> Iterator[Row]:
        """Each attack over its budget."""
        for name, field in SPENT.items():
            usual = getattr(self.standard(name), field)
            for factor in FACTORS:
                yield {**self.row(name, {field: max(1, round(factor * usual))}), "factor": factor}

    def words(self) -> Iterator[Row]:
        """Attacks over real words, and all words one after the other."""
        yield from (self.row(name, {}) for name in ("reseed", *WORDS))


def table(rows: list[Row], ask: str) -> str:
    """Markdown: a row a run."""
    lines = [
        f"| attack | {ask} | brought back (95 %) | by prompts that do not name it | rows with a "
        "gradient | pictures | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        said = ", ".join(f"{k} = {v:g}" for k, v in row["settings"].items()) or "standard"
        if "factor" in row:
            said += f" ({row['factor']:g} times)"
        lines.append(
            f"| {title(row['attack'])} | {said} | {row['rate']:.0%} ({row['low']:.0%} to "
            f"{row['high']:.0%}) | {row['silent']:.0%} | {row['gradients']} | {row['pictures']} | "
            f"{row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


HEADS = {
    "sweep": ("The setting that each search hangs on", "setting"),
    "knee": ("What a larger budget reaches", "budget"),
    "words": ("Searches over words, beside every word", "setting"),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("what", nargs="*", default=list(HEADS), choices=[*HEADS, []])
    options, study = opened(parser)
    found = Range(study)
    place = DOCS / "attacks-measured.json"
    kept: Any = read_json(place) if place.exists() else {}
    for what in options.what:
        kept[what] = list(getattr(found, what)())
        write_json(place, kept)
    parts = [
        "# Attacks, measured\n\nOn the edit that ESD makes of `cat` in the embedded model, by "
        "`python benchmarks/attacks.py`: 12 prompts, 4 score seeds.\n"
    ]
    for what, (head, ask) in HEADS.items():
        if what in kept:
            parts.append(f"## {head}\n\n{table(kept[what], ask)}")
    write_text(DOCS / "attacks-measured.md", "\n".join(parts))


if __name__ == "__main__":
    main()
