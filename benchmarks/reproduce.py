"""The README's results: ``python benchmarks/reproduce.py`` (hours; it goes on after a stop).

Writes ``docs/results.json``, the table with its plot in ``docs/results.md`` and in the README
between its two marks, with what of the experiments stands there too, and the plot in
``docs/figures``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import plots
from arrays import Arrays
from briefly import briefly
from claims import CLAIM, LADDER, POOL, Floors, claimed, rung_of
from figures import figures
from mdtable import table
from study import Row, Study, Trial, opened
from summary import summary
from variants import DEFAULT, PAPER, given, title, trial_of

from excise.emoji.pictures import WATERMARK
from excise.store import write_json, write_text
from excise.suite import Sizes
from excise.suite.evaluate import Settings
from excise.suite.ladder import ORACLE_MOST
from excise.suite.returned import key_of

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DEVELOPED, HELD_OUT = ("cat", "sketch"), ("church", "truck", "apple", "neon", "watermark")
CONCEPTS = (*DEVELOPED, *HELD_OUT)
SEEDS = 5
ROWS = "rows"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"

METHODS = {DEFAULT: SEEDS, PAPER: 1, "esd": 1, "gradient_ascent": 1}
"""How many edits of each are made; see `variants`."""


class Results:
    """Rows that are kept as soon as they are measured."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.floors = Floors(study)

    def row(self, trial: Trial, sizes: Sizes, settings: Settings | None = None) -> Row:
        """One edit's figures."""
        study = self.study

        def make() -> Row:
            edit, notes = study.edit(trial)
            report = study.report(edit, trial.concept, sizes=sizes, settings=settings)
            facts: Row = {"concept": trial.concept, "method": trial.method, "seed": trial.seed}
            return {**facts, **notes, "bytes": edit.nbytes, **figures(report)}

        return study.row(ROWS, self._name(trial, sizes, settings), make)

    def known(self, trial: Trial, sizes: Sizes, settings: Settings | None = None) -> bool:
        """Is there a row already?"""
        return self.study.row_file(ROWS, self._name(trial, sizes, settings)).exists()

    def _name(self, trial: Trial, sizes: Sizes, settings: Settings | None) -> str:
        study, name = self.study, self.study.name(trial)
        key = study.key(row=name, measured=study.measured(trial.concept, sizes, 0, settings))
        return f"{name}-{key}"

    def arrays(self, trial: Trial, sizes: Sizes, settings: Settings) -> Arrays:
        """The same, picture by picture."""
        edit, _ = self.study.edit(trial)
        return self.study.arrays(edit, trial.concept, sizes=sizes, settings=settings)

    def ladder(self, concept: str, method: str) -> Row:
        """Every rung on base, edit and oracle; the oracle decides which one counts."""
        return {**self.row(trial_of(concept, method), LADDER), "method": method}

    def claims(
        self, concept: str, method: str, rung: Any, seeds: Iterable[int]
    ) -> tuple[list[Row], Row]:
        """A method at the concept's rung: seed by seed, and over all seeds."""
        settings, named = claimed(rung), {"method": method, "rung": rung}
        trials = [trial_of(concept, method, seed) for seed in seeds]
        rows = [{**self.row(trial, CLAIM, settings), **named} for trial in trials]
        return rows, summary(rows, [self.arrays(trial, CLAIM, settings) for trial in trials])

    def part(self, concept: str, method: str, count: int, only: bool) -> Part | None:
        """One method on one concept. only: what is there already, None if there is nothing."""
        first = trial_of(concept, method)
        if only and not self.known(first, LADDER):
            return None
        ladder = self.ladder(concept, method)
        rung = self.floors.rung(concept, rung_of(ladder), only=only)
        if rung is None:
            return None
        seeds = list(range(count))
        if only:
            own = claimed(rung)
            seeds = [n for n in seeds if self.known(replace(first, seed=n), CLAIM, own)]
        if not seeds:
            return None
        claims, summed = self.claims(concept, method, rung, seeds)
        return Part(ladder=ladder, claims=claims, summary=summed)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One method on one concept: all rungs for one edit, the rung that counts for each, and all."""

    ladder: Row
    claims: list[Row]
    summary: Row


def methods_for(concept: str) -> Mapping[str, int]:
    """Those of `METHODS` that can take the concept; the watermark is given by pictures alone."""
    return {m: n for m, n in METHODS.items() if concept != WATERMARK or "pictures" in given(m)}


HEAD = (
    "concept", "method", "edits", "plain words (upper bound)", "beside another (upper bound)",
    "what is beside it (lower bound)", "searched: before / after / never shown",
    "excess (upper bound)", "Δ-loss (bounds)", "kept (lower bound)",
    "worst class (lower bound); of one edit", "neighbours (lower bound); of one edit",
    "nothing recognisable: before → after (more, at most)",
)  # fmt: skip
ABOVE = "‡"


def cells(row: Row) -> list[str]:
    """A concept and method, as a row of the table."""
    searched = " / ".join(f"{100 * row['searched'][a]:.0f}" for a in ("base", "edit", "oracle"))
    label = "" if row["worst_label"] is None else f"{row['worst_label']} "
    nothing, more = row["nothing"], row["nothing_more"]
    return [
        row["concept"],
        title(row["method"]),
        counted(row),
        f"{100 * row['plain']:.1f} ({100 * row['plain_high']:.1f})",
        _bounded(row["two"]),
        _bounded(row["two_other"]),
        f"{searched}{ABOVE if above(row) else ''}, {_rung(row['rung'])}",
        f"{100 * row['excess'][0]:.1f} ({100 * row['excess'][2]:.1f})",
        "{:.4f} ({:.4f} to {:.4f})".format(*row["delta_loss"]),
        f"{100 * row['kept'][0]:.1f} ({100 * row['kept'][1]:.1f})",
        f"{label}{_bounded(row['worst'])}; {_percent(row['worst_edit'])}",
        f"{_bounded(row['near'])}; {_percent(row['near_edit'])}",
        f"{100 * nothing['base']:.1f} → {100 * nothing['edit']:.1f} "
        f"({100 * more[0]:+.1f}, {100 * more[2]:+.1f})",
    ]


def counted(row: Mapping[str, Any]) -> str:
    """How many edits, and how many of them are feasible and verified, where that is a question."""
    if row["feasible"] is None:
        return str(row["edits"])
    return f"{row['edits']}: {row['feasible']} feasible, {row['verified']} verified"


def above(row: Mapping[str, Any]) -> bool:
    """Is the oracle reached more often than it may be at the rung that counts?"""
    return bool(row["searched"]["oracle"] > ORACLE_MOST)


def _rung(rung: Any) -> str:
    return plots.RUNGS[key_of(rung)]


def _bounded(pair: Sequence[float] | None) -> str:
    return "–" if pair is None else f"{100 * pair[0]:.1f} ({100 * pair[1]:.1f})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}"


def text_of(rows: Sequence[Row], folder: str) -> str:
    """The plot of the ladder, the table, and what its columns are. folder: of the figures."""
    searched = [row for row in rows if row["feasible"] is not None]
    edits, feasible, verified = (
        sum(row[name] for row in searched) for name in ("edits", "feasible", "verified")
    )
    notes = [
        "Shares in percent, excesses in points; bounds are one-sided, at 95 %, over all edits of a "
        "row. *Searched*: Concept Inversion begun anew on each model, best of "
        f"{POOL['restarts'] // 3} from a pool of {POOL['restarts']}, on the largest rung of the "
        "ladder on which the same search reaches the model that never saw the concept in at most "
        f"{ORACLE_MOST:.0%}. *Excess*: over that model. *Δ-loss*: the denoising loss on held-out "
        "pictures of the concept, of that model less that of the edit, each at what was found on "
        "it; at or below 0 the edit explains them no better. *Kept*: everything else, as a share "
        "of the unedited model's rate; no class has a lower bound below that of *worst class*.\n"
    ]
    if searched:
        notes.append(
            f"Of the {edits} edits that a search for a strength settled, {feasible} are feasible: "
            "a strength was found that both takes the concept out and keeps the rest; of the "
            "others, the edit nearest to both is in the figures all the same. "
            f"{verified} are verified: an attack on fresh seeds did not bring it back.\n"
        )
    if short := missing(rows):
        notes.append(f"Still to be measured, by the same command: {short}.\n")
    if any(map(above, rows)):
        notes.append(
            f"{ABOVE} also on the smallest rung the search reaches the model that never saw the "
            f"concept in more than {ORACLE_MOST:.0%}: what it reaches on the edit may be "
            "injected.\n"
        )
    plot = f"![What a search brings back, by how much it may move]({folder}/ladders.svg)\n"
    return "\n".join([plot, table(HEAD, map(cells, rows)), *notes])


def missing(rows: Sequence[Row]) -> str:
    """By concept, how many of the edits that there are to be are not in the rows."""
    there = {(row["concept"], row["method"]): row["edits"] for row in rows}
    left = []
    for concept in CONCEPTS:
        asked = methods_for(concept)
        short = sum(max(0, n - there.get((concept, name), 0)) for name, n in asked.items())
        if short:
            left.append(f"{concept} ({short} of {sum(asked.values())} edits)")
    return ", ".join(left)


def into(file: Path, text: str) -> None:
    """Put a text between a file's two marks."""
    whole = file.read_text(encoding="utf-8")
    if BEGIN not in whole or END not in whole:
        return
    head, rest = whole.split(BEGIN, 1)
    write_text(file, f"{head}{BEGIN}\n\n{text.strip()}\n\n{END}{rest.split(END, 1)[1]}")


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
    parser.add_argument(
        "--measured", action="store_true", help="write what was measured by now, measure nothing"
    )
    options, study = opened(parser)
    partly = bool(options.concept or options.method)
    if partly and options.measured:  # a table of a part would stand in the place of the whole
        parser.error("--measured writes all that there is: leave out --concept and --method")
    results = Results(study)
    found = [
        part
        for concept in options.concept or CONCEPTS
        for method, count in methods_for(concept).items()
        if method in (options.method or METHODS)
        and (part := results.part(concept, method, min(count, options.seeds), options.measured))
    ]
    if partly:
        sys.stdout.write("measured; a run over all of it, or --measured, writes the tables\n")
        return
    if not found:
        sys.exit("nothing is measured yet")
    ladders, rows = [part.ladder for part in found], [part.summary for part in found]
    claims = [row for part in found for row in part.claims]
    write_json(DOCS / "results.json", {"ladders": ladders, "claims": claims, "summary": rows})
    plots.ladders(ladders, DOCS / "figures" / "ladders.svg")
    tried = DOCS / "experiments"
    write_text(DOCS / "results.md", f"# Results\n\n{text_of(rows, 'figures')}{briefly(tried, '')}")
    into(ROOT / "README.md", text_of(rows, "docs/figures") + briefly(tried, "docs/"))


if __name__ == "__main__":
    main()
