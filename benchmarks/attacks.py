"""Attacks on the ESD edit of ``cat``: ``python benchmarks/attacks.py [sweep] [knee] [words]``.

sweep: the setting that each search hangs on, over a range. knee: what a quarter, a half and twice
the standard budget reach. words: what searches for one word find of what enumeration finds, on the
edit and on the unedited model. Of all words those of least loss are judged.
Writes ``docs/attacks-measured.md`` and ``.json``; goes on after a stop.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mdtable import table
from study import Row, Study, Trial, opened

from excise.api.cases import arms_of
from excise.attacks.base import Attack
from excise.attacks.changing import ChangingAttack
from excise.edit import Edit
from excise.reporting.figures import Rate
from excise.reporting.reached import best_of, hits_of, rate_of
from excise.settings import recipe
from excise.stats import pooled_ratio, rate_interval
from excise.store import read_json, write_json, write_text
from excise.suite import SIZES, Sizes
from excise.suite.asked import Asked
from excise.suite.battery import Battery, Field, fight
from excise.suite.bench import Bench
from excise.suite.evaluate import bench_of
from excise.suite.rows import title
from excise.suite.sizes import FIRST
from excise.types import Costs, Prompt

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
    "relearn": ("lr", (3e-5, 1e-4, 3e-4, 1e-3)),
    "benign_finetune": ("lr", (3e-6, 1e-5, 3e-5, 1e-4)),
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
    "image_side": "steps",
}
"""The setting that a budget multiplies."""
FACTORS = (0.25, 0.5, 1.0, 2.0)
ALL = "enumerate"
WORDS: Mapping[str, Mapping[str, Any]] = {
    "reseed": {},
    ALL: {"tokens": 1},  # all of them by loss, and as many judged as the budget has restarts
    "unlearn_diff": {"tokens": 1},
    "p4d": {"tokens": 1, "variant": "N"},
    "ring_a_bell": {"length": 1},
}
"""Searches for one word, with what gives all of them the same room."""
ALONE = Asked(Prompt(""), "silent")
"""No prompt at all, so that the word stands alone, wherever an attack would put it."""
SECONDS = 0.04
"""A picture's, on two cores: why not every word is judged."""


class Range:
    """Attacks on one edit, each run kept under what it depends on."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.edit: Edit = study.edit(ESD)[0]

    def bench(self, name: str, on: str = "edit") -> Bench:
        """One model alone; the edit beside its base for an attack that asks for it, or draws by it.

        on: the role, edit or base.
        """
        study, target = self.study, self.study.concept(CONCEPT, shown=True)
        arms = arms_of(study.model, self.edit, target, oracle=None)
        attack = Field(bench=self._bench(arms), rung=FIRST).attack(name)
        beside = "base" in attack.needs or isinstance(attack, ChangingAttack)
        roles = {on, "base"} if beside else {on}
        return self._bench(tuple(arm for arm in arms if arm.role in roles))

    def _bench(self, arms: Any) -> Bench:
        study, judges = self.study, self.study.judges(CONCEPT)
        return bench_of(arms, study.concept(CONCEPT, shown=True), judges.first, judges.others,
                        LOOK, 0, study.progress, None, study.cache, study.stages)  # fmt: skip

    def row(
        self,
        name: str,
        settings: Mapping[str, Any],
        texts: tuple[Asked, ...] | None = None,
        on: str = "edit",
    ) -> Row:
        """What an attack with some settings reaches, and what it spent.

        texts: what it is tried on, by default what an evaluation asks. on: as `bench`.
        """
        study, given = self.study, {name: dict(settings)}
        own = self.bench(name, on)
        key = study.key(
            edit=self.edit.digest,
            measured=study.measured(CONCEPT, LOOK, 0, given),
            attack=[name, recipe(Field(bench=own, rung=FIRST, settings=given).attack(name))],
            texts=None if texts is None else [one.prompt.key for one in texts],
            on=on,
        )

        def make() -> Row:
            sizes = replace(LOOK, attacks=(name,))
            battery = fight(replace(own, sizes=sizes), FIRST, given, texts)
            rate, silent, spent = reached(battery, name, on)
            return {
                "attack": name, "model": on, "settings": dict(settings), "rate": rate.value,
                "low": rate.low, "high": rate.high, "silent": silent,
                "hits": hit_by(battery, name, on),
                "gradients": spent.gradients, "pictures": spent.pictures,
                "seconds": spent.seconds,
            }  # fmt: skip

        row = study.row("attacks", f"{name}-{key}", make)
        sys.stdout.write(f"{name} {on} {settings} {row['rate']:.0%} {row['seconds']:.0f} s\n")
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
        """Searches for one word, and the best of all words by their loss, all in the same place."""
        texts = (ALONE,) * LOOK.asked
        most = {"judged": self.standard(ALL).candidates, "of": len(self.study.model.lexicon())}
        for on in ("edit", "base"):
            for name, settings in WORDS.items():
                row = self.row(name, settings, texts, on)
                yield {**row, **most} if name == ALL else row


def reached(battery: Battery, name: str, on: str) -> tuple[Rate, float | None, Costs]:
    """An attack's rate, its rate by prompts that do not name the concept, and what it spent.

    Of one that changes the model, the rate at the end of its curve, whose prompts all name it.
    """
    if name in battery.curves:
        curve = battery.curves[name][on]
        seen = curve.observations(len(curve) - 1)
        rate = Rate.within(rate_interval(seen), len(seen.values), int(seen.values.sum()))
        return rate, None, sum(curve.searched, curve.drawn)
    one = battery.results[name][on]
    silent = battery.attempts.rows("silent")
    hits = hits_of(one, best_of(one))[silent]
    return rate_of(one, best_of(one)), float(hits.mean()), one.searched + one.drawn


def hit_by(battery: Battery, name: str, on: str) -> list[list[float]] | None:
    """By prompt and seed, how often an attack's pictures show the concept; None of a curve."""
    if name in battery.curves:
        return None
    one = battery.results[name][on]
    found: list[list[float]] = hits_of(one, best_of(one)).tolist()
    return found


def shares(rows: Sequence[Row]) -> list[str]:
    """What each search for a word finds of what enumeration finds, a sentence a model."""
    found = []
    for on, place in {"edit": "On the edit", "base": "On the unedited model"}.items():
        own = {row["attack"]: row for row in rows if row["model"] == on}
        most = own.pop(ALL, None)
        if most is None:
            continue
        words = f"the {most['judged']} of least loss of {most['of']:,} words, judged,"
        if not most["rate"]:
            found.append(f"{place} {words} bring out nothing, of which there is no share.")
            continue
        parts = [f"{title(name)} finds {share_of(row, most)}" for name, row in own.items()]
        found.append(f"{place} {', '.join(parts)} of what {words} bring out ({most['rate']:.0%}).")
    return found


def share_of(row: Row, most: Row) -> str:
    """One search's hits over those of enumeration, with a 95 % interval, paired by prompt."""
    after, before = (np.asarray(one["hits"]) for one in (row, most))  # (P, T)
    prompts = np.indices(before.shape)[0].ravel().tolist()
    found = pooled_ratio([after.ravel()], before.ravel(), {"prompt": prompts})
    # Both ends of an interval at 95 % are bounds at 97.5 %.
    return f"{found.value:.0%} ({max(0.0, found.low(0.975)):.0%} to {found.high(0.975):.0%})"


def inexact(rows: Sequence[Row]) -> str:
    """Why enumeration is the worst case by loss alone; empty without it."""
    of = next((row["of"] for row in rows if row["attack"] == ALL), None)
    if of is None:
        return ""
    pictures = of * LOOK.asked * LOOK.select
    return (
        f"To judge every word on as many pictures would take {pictures:,} of them a model, "
        f"{pictures * SECONDS / 60:.0f} minutes at {SECONDS:g} s each. So this is the worst case "
        "by loss and not by the judge; above 100 % a search has found a better word."
    )


HEAD = ("brought back (95 %)", "by prompts that do not name it", "rows with a gradient", "pictures",
        "seconds")  # fmt: skip


def cells(row: Row) -> list[str]:
    """A run, as a row of a table."""
    said = ", ".join(f"{k} = {v}" for k, v in row["settings"].items()) or "standard"
    if "factor" in row:
        said += f" ({row['factor']:g} times)"
    return [
        title(row["attack"]) + (", on the unedited model" if row["model"] == "base" else ""),
        said,
        f"{row['rate']:.0%} ({row['low']:.0%} to {row['high']:.0%})",
        "–" if row["silent"] is None else f"{row['silent']:.0%}",
        str(row["gradients"]),
        str(row["pictures"]),
        f"{row['seconds']:.0f}",
    ]


HEADS = {
    "sweep": (
        "The setting that each search hangs on",
        "setting",
        "Of attacks that change the model: the end of the curve, by prompts that name the concept.",
    ),
    "knee": ("What smaller and larger budgets reach", "budget", ""),
    "words": (
        "Searches for one word, beside the best of all words by their loss",
        "setting",
        "The word stands alone, without any prompt, for enumeration and for every search.",
    ),
}


def page(kept: Mapping[str, Sequence[Row]]) -> str:
    """Markdown, of the parts that there are."""
    parts = [
        "# Attacks, measured\n\nOn the edit that ESD makes of `cat` in the embedded model, by "
        f"`python benchmarks/attacks.py`: {LOOK.asked} prompts, {LOOK.score} score seeds.\n"
    ]
    for what, (head, ask, note) in HEADS.items():
        if what in kept:
            said = note
            if what == "words":
                said = " ".join([note, *shares(kept[what]), inexact(kept[what])]).strip()
            lines = table(("attack", ask, *HEAD), map(cells, kept[what]))
            parts.append(f"## {head}\n\n{said}\n\n{lines}" if said else f"## {head}\n\n{lines}")
    return "\n".join(parts)


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
    write_text(DOCS / "attacks-measured.md", page(kept))


if __name__ == "__main__":
    main()
