"""Every method on every concept, in one table: ``python benchmarks/methods.py`` (hours).

All rows are made and measured at the quick budget; the default, ESD and whatever no other row beats
are then made and measured again at the standard one. Each edit is made in a process of its own, so
that its time and its memory are its own. Writes ``docs/methods.md`` and ``.json``, and the front in
``docs/figures``; goes on after a stop.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import plots
import torch
from mdtable import table
from reproduce import CONCEPTS
from study import Row, Study, Trial, opened

from excise import registry
from excise.api.loading import history_of
from excise.edit import Edit, Recipe
from excise.edit.encodings import Sparse
from excise.emoji.pictures import WATERMARK
from excise.errors import UserError
from excise.method import Budget
from excise.primitives import arithmetic
from excise.progress import for_stream
from excise.reporting import Report
from excise.rng import generator
from excise.store import write_json, write_text
from excise.suite import SIZES, Sizes

DOCS = Path(__file__).resolve().parent.parent / "docs"
DEFAULT, BESIDE = "task_vector", "esd"
NOTHING, PERMUTED = "nothing", "permuted vector"
BASELINES = (NOTHING, PERMUTED)
METHODS = tuple(sorted(registry.names("eraser"), key=lambda name: (name != DEFAULT, name)))
LOOKS: Mapping[Budget, Sizes] = {
    "quick": replace(SIZES["quick"], cascade=False),  # every row meets the same attacks
    "standard": SIZES["standard"],
}


def methods_for(concept: str) -> tuple[str, ...]:
    """Those that can take a concept, the baselines first; the watermark is given by pictures."""
    able = [
        name
        for name in METHODS
        if concept != WATERMARK or "pictures" in registry.get("eraser", name).given
    ]
    return (*BASELINES, *able)


class Table:
    """Edits and their rows, each kept as soon as it is made."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def row(self, concept: str, method: str, budget: Budget) -> Row:
        """One edit's figures. With ``why`` alone, where the method said that it cannot."""
        study = self.study
        made = Trial(concept=concept, method=DEFAULT if method in BASELINES else method,
                     budget=budget)  # fmt: skip
        measured = study.measured(concept, LOOKS[budget], 0)
        key = study.key(table=study.name(made), baseline=method, measured=measured)

        def make() -> Row:
            name: Row = {"concept": concept, "method": method, "budget": budget}
            try:
                edit, costs = self._edit(made, method)
            except UserError as error:
                return {**name, "why": str(error)}
            report = study.report(edit, concept, sizes=LOOKS[budget])
            return {**name, **costs, **of_edit(edit), **of_report(report)}

        row = study.row("table", f"{concept}-{method.replace(' ', '_')}-{budget}-{key}", make)
        say(row)
        return row

    def _edit(self, trial: Trial, method: str) -> tuple[Edit, Row]:
        study = self.study
        if method == NOTHING:
            return Edit.of(study.model, {}, recipe=Recipe(method=NOTHING)), {}
        file = study.work / "edits" / f"{study.name(trial)}.safetensors"
        if not file.with_suffix(".json").exists():
            apart(study.work, trial)
        edit, notes = study.edit(trial)
        if method == PERMUTED:
            mixed = arithmetic.permuted(
                {name: edit.dense(name) for name in edit.deltas}, generator("permuted", trial.seed)
            )
            return Edit.of(study.model, mixed, recipe=Recipe(method=PERMUTED)), {}
        spent: Any = history_of(file).record.get("costs", {})
        kept = ("seconds", "peak_bytes", "pictures")
        return edit, {**notes, **{name: spent[name] for name in kept if name in spent}}

    def rows(self, concepts: Sequence[str]) -> list[Row]:
        """All at the quick budget, and what is to be looked at again."""
        quick = [
            self.row(concept, method, "quick")
            for concept in concepts
            for method in methods_for(concept)
        ]
        again = {(row["concept"], row["method"]) for row in front(quick)} | {
            (row["concept"], row["method"])
            for row in quick
            if row["method"] in (DEFAULT, BESIDE) and "why" not in row
        }
        order = [(row["concept"], row["method"]) for row in quick]
        return quick + [self.row(*pair, "standard") for pair in order if pair in again]


def apart(work: Path, trial: Trial) -> None:
    """Make an edit in another process, so that its peak of memory is its own.

    Raises:
        UserError: the method cannot take the concept, as it says.
    """
    there = multiprocessing.get_context("spawn")
    ours, theirs = there.Pipe(duplex=False)
    child = there.Process(target=_make, args=(work, trial, torch.get_num_threads(), theirs))
    child.start()
    theirs.close()
    try:
        said = ours.recv()
    except EOFError:
        said = None
    child.join()
    if said:
        raise UserError(str(said))
    if child.exitcode:
        raise SystemExit(f"expected an edit by {trial.method}, got exit code {child.exitcode}")


def _make(work: Path, trial: Trial, threads: int, answer: Any) -> None:
    torch.set_num_threads(threads)
    try:
        Study(work, for_stream(sys.stderr)).edit(trial)
        answer.send("")
    except UserError as error:
        answer.send(str(error))


def of_edit(edit: Edit) -> Row:
    """How much of the model it changes: weights, hooks, bytes."""
    touched = 0
    for delta in edit.deltas.values():
        inside = delta.value.numel() if isinstance(delta, Sparse) else math.prod(delta.shape)
        touched += inside
    return {"touched": touched, "hooks": len(edit.hooks), "bytes": edit.nbytes}


def of_report(report: Report) -> Row:
    """What the table shows of a report: values, with the bound that counts behind them."""
    record = report.record
    plain = next(row.rates["edit"] for row in record.rates if row.key == "plain")
    found: Row = {"plain": [plain.value, plain.high]}
    if record.worst_found is not None:
        worst = record.worst_found.rates
        found["worst_found"] = {arm: rate.value for arm, rate in worst.items()}
    if record.excess is not None:
        found["excess"] = [record.excess.value, record.excess.upper]
        found["by"] = record.excess.attack
    if record.kept is not None:
        kept = record.kept
        mean, worst_kept = kept.mean["edit"], kept.worst["edit"]
        found["kept"] = [mean.value, mean.low]
        found["worst"] = [worst_kept.value, worst_kept.low]
        found["worst_label"] = kept.worst_label
        if "edit" in kept.neighbours:
            found["near"] = kept.neighbours["edit"].value
        measures = {measure.name: measure.values for measure in kept.measures}
        if "edit" in measures.get("kid", {}):
            found["kid"] = measures["kid"]["edit"].value
    return found


def front(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that no other of their concept and budget beats in both ways.

    What is compared: the upper bound of E, and the lower bound of the worst class that was kept.
    """
    able = [row for row in rows if "excess" in row and "worst" in row]
    return [
        row
        for row in able
        if not any(
            plots.beats(ends(other), ends(row))
            for other in able
            if (other["concept"], other["budget"]) == (row["concept"], row["budget"])
        )
    ]


def ends(row: Mapping[str, Any]) -> tuple[float, float]:
    """What a row is compared by: little excess, much kept."""
    return float(row["excess"][1]), float(row["worst"][1] or 0)


def say(row: Mapping[str, Any]) -> None:
    """One line a row, on the terminal."""
    if "why" in row:
        text = str(row["why"])
    else:
        text = f"plain {row['plain'][0]:.0%} E {row.get('excess')} worst {row.get('worst')}"
    sys.stdout.write(f"{row['concept']} {row['method']} {row['budget']} | {text}\n")
    sys.stdout.flush()


HEAD = (
    "concept", "method", "plain words (upper bound)", "worst found: before / after / never shown",
    "E (upper bound)", "kept (lower bound)", "worst class (lower bound)", "neighbours", "KID",
    "seconds", "memory, GiB", "pictures", "weights", "hooks", "file, MB",
)  # fmt: skip


def cells(row: Mapping[str, Any], best: bool) -> list[str]:
    """A row of the table. best: no other beats it."""
    name = f"**{row['method']}**" if best else str(row["method"])
    if "why" in row:
        return [row["concept"], name, str(row["why"]), *[""] * (len(HEAD) - 3)]
    found = row.get("worst_found", {})
    arms = [found.get(arm) for arm in ("base", "edit", "oracle")]
    worst = _bounded(row.get("worst"))
    return [
        row["concept"], name, _bounded(row["plain"]),
        " / ".join("–" if one is None else f"{100 * one:.0f}" for one in arms),
        _bounded(row.get("excess")), _bounded(row.get("kept")),
        f"{row['worst_label']} {worst}" if "worst_label" in row else worst,
        "–" if row.get("near") is None else f"{100 * row['near']:.0f}",
        "–" if row.get("kid") is None else f"{row['kid']:.3f}",
        f"{row['seconds']:.0f}" if "seconds" in row else "–",
        f"{row['peak_bytes'] / 2**30:.1f}" if row.get("peak_bytes") else "–",
        str(row.get("pictures", "–")), str(row["touched"]), str(row["hooks"]),
        f"{row['bytes'] / 1e6:.2f}",
    ]  # fmt: skip


def _bounded(pair: Sequence[float | None] | None) -> str:
    if pair is None:
        return "–"
    value, bound = pair
    return f"{100 * float(value or 0):.1f} ({'–' if bound is None else f'{100 * bound:.1f}'})"


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    best = [id(row) for row in front(rows)]
    parts = [
        "# Methods\n\nEvery method on every concept of the embedded model, by `python "
        "benchmarks/methods.py`; shares in percent. Each was tried under the same number of "
        "settings on `cat` and `sketch` ([experiments](experiments.md)), and frozen. In bold: no "
        "other row of the concept has both a lower upper bound of E, the largest excess over a "
        "model that never saw the concept, and a higher lower bound of the worst class kept.\n\n"
        "![The front](figures/methods.svg)\n"
    ]
    for budget in LOOKS:
        own = [row for row in rows if row["budget"] == budget]
        lines = [cells(row, id(row) in best) for row in own]
        parts.append(f"## {budget.capitalize()} budget\n\n{table(HEAD, lines)}")
    return "\n".join(parts)


def fronts(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """By concept, its rows that can be compared, at the largest budget that each has."""
    for concept in dict.fromkeys(str(row["concept"]) for row in rows):
        found = {
            row["method"]: row
            for row in rows
            if row["concept"] == concept and "excess" in row and "worst" in row
        }  # those at the standard budget come last
        yield concept, list(found.values())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--concept", action="append", choices=CONCEPTS, help="only measure this one; repeat"
    )
    options, study = opened(parser)
    rows = Table(study).rows(options.concept or CONCEPTS)
    if options.concept:  # a part of the work, which a run over all of them finds
        return
    write_json(DOCS / "methods.json", rows)
    plots.fronts(
        {name: {row["method"]: ends(row) for row in own} for name, own in fronts(rows)},
        DOCS / "figures" / "methods.svg",
    )
    write_text(DOCS / "methods.md", page(rows))


if __name__ == "__main__":
    main()
