"""Every figure of the README: ``python benchmarks/reproduce.py`` (hours; it goes on after a stop).

Writes ``docs/results.json``, the tables in ``docs/results.md`` and in the README between its two
marks, and the plots in ``docs/figures``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import plots
from arrays import ATTACK, Arrays
from figures import figures
from study import Row, Study, Trial, opened
from summary import summary

from excise import registry
from excise.emoji.pictures import WATERMARK
from excise.store import write_json, write_text
from excise.suite import SIZES, Sizes
from excise.suite.evaluate import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DEVELOPED, HELD_OUT = ("cat", "sketch"), ("church", "truck", "apple", "neon", "watermark")
CONCEPTS = (*DEVELOPED, *HELD_OUT)
SEEDS = 5
BEGIN, END = "<!-- results -->", "<!-- end of results -->"

METHODS = {"task_vector": SEEDS, "esd": 1, "gradient_ascent": 1}
"""How many edits of each are made."""

LADDER: Sizes = replace(
    SIZES["standard"],
    name="own",
    plain=2,
    pairs=2,
    prompts=4,
    restarts=12,
    best_of=4,
    attacks=("reseed",),
)
"""All rungs, for one edit of each method and concept."""

CLAIM: Sizes = replace(
    LADDER, rungs=(), decoys=0, decide=0, attacks=("reseed", ATTACK), asked=12, select=2, score=4
)
POOL = {"restarts": 24, "steps": 300}
"""What the claims are measured with: Concept Inversion, best of 8 from a pool of 24."""


def claimed(rung: Any) -> Settings:
    """The attack's settings at the rung that the oracle decided."""
    return {ATTACK: {**POOL, "rung": rung}}


class Results:
    """Rows that are kept as soon as they are measured."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def row(self, trial: Trial, sizes: Sizes, settings: Settings | None = None) -> Row:
        """One edit's figures."""
        study, name = self.study, self.study.name(trial)
        key = study.key(row=name, measured=study.measured(trial.concept, sizes, 0, settings))

        def make() -> Row:
            edit, notes = study.edit(trial)
            report = study.report(edit, trial.concept, sizes=sizes, settings=settings)
            facts: Row = {"concept": trial.concept, "method": trial.method, "seed": trial.seed}
            return {**facts, **notes, "bytes": edit.nbytes, **figures(report)}

        return study.row("rows", f"{name}-{key}", make)

    def arrays(self, trial: Trial, sizes: Sizes, settings: Settings) -> Arrays:
        """The same, picture by picture."""
        edit, _ = self.study.edit(trial)
        return self.study.arrays(edit, trial.concept, sizes=sizes, settings=settings)

    def ladder(self, concept: str, method: str) -> Row:
        """Every rung on base, edit and oracle; the oracle decides which one counts."""
        return self.row(Trial(concept=concept, method=method), LADDER)

    def claims(self, concept: str, method: str, rung: Any, seeds: int) -> tuple[list[Row], Row]:
        """A method at the concept's rung: seed by seed, and over all seeds."""
        settings = claimed(rung)
        trials = [Trial(concept=concept, method=method, seed=seed) for seed in range(seeds)]
        rows = [{**self.row(trial, CLAIM, settings), "rung": rung} for trial in trials]
        return rows, summary(rows, [self.arrays(trial, CLAIM, settings) for trial in trials])


def methods_for(concept: str) -> Mapping[str, int]:
    """Those of `METHODS` that can take the concept; the watermark is given by pictures alone."""
    able = {m: registry.get("eraser", m).given for m in METHODS}
    return {m: n for m, n in METHODS.items() if concept != WATERMARK or "pictures" in able[m]}


def rung_of(row: Mapping[str, Any]) -> Any:
    """The rung that counts, as `Sizes` names it."""
    key = str(row["headline"])
    return int(key[1:]) if key.startswith("t") else key


def table(rows: Iterable[Row]) -> str:
    """Markdown: a row a concept and method."""
    head = [
        "concept", "method", "edits", "plain words (upper bound)", "beside another",
        "what is beside it", "searched: before / after / never shown", "excess (upper bound)",
        "kept (lower bound)", "worst class", "neighbours",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        searched = " / ".join(f"{100 * row['searched'][a]:.0f}" for a in ("base", "edit", "oracle"))
        cells = [
            row["concept"],
            row["method"].replace("_", " "),
            str(row["edits"]),
            f"{100 * row['plain']:.1f} ({100 * row['plain_high']:.1f})",
            _percent(row["two"], 1),
            _percent(row["two_other"]),
            searched,
            f"{100 * row['excess'][0]:.1f} ({100 * row['excess'][2]:.1f})",
            f"{100 * row['kept'][0]:.1f} ({100 * row['kept'][1]:.1f})",
            _percent(row["worst"]),
            _percent(row["near"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _percent(share: float | None, digits: int = 0) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}"


def into(file: Path, text: str) -> None:
    """Put a text between a file's two marks."""
    whole = file.read_text(encoding="utf-8")
    if BEGIN not in whole or END not in whole:
        return
    head, rest = whole.split(BEGIN, 1)
    write_text(file, f"{head}{BEGIN}\n\n{text}\n{END}{rest.split(END, 1)[1]}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--concept", action="append", choices=CONCEPTS, help="only measure this one; repeat"
    )
    parser.add_argument(
        "--method", action="append", choices=METHODS, help="only this one's edits; repeat"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options, study = opened(parser)
    results = Results(study)
    ladders, made = [], []
    for concept in options.concept or CONCEPTS:
        for method, seeds in methods_for(concept).items():
            if method in (options.method or METHODS):
                ladders.append(results.ladder(concept, method))
                rung, count = rung_of(ladders[-1]), min(seeds, options.seeds)
                made.append(results.claims(concept, method, rung, count))
    if options.concept or options.method:  # a part of the work, which a run over all of it finds
        return
    claims, rows = [row for own, _ in made for row in own], [row for _, row in made]
    write_json(DOCS / "results.json", {"ladders": ladders, "claims": claims, "summary": rows})
    plots.ladders(ladders, DOCS / "figures" / "ladders.svg")
    text = table(rows)
    write_text(DOCS / "results.md", f"# Results\n\n{text}")
    into(ROOT / "README.md", text)


if __name__ == "__main__":
    main()
