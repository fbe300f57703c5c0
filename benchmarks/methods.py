"""Every method on every concept, in one table: ``python benchmarks/methods.py`` (hours).

Every edit is made at the standard budget, under its method's frozen settings. All are measured at
the quick budget; the default, ESD and whatever no other row beats are then measured again at the
standard one. Each edit is made in a process of its own, so that its time and its memory are its
own. Writes ``docs/methods.md`` and ``.json`` (see `compared`), and a front for each budget in
``docs/figures``; goes on after a stop.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import plots
import torch
from compared import BASELINES, BESIDE, NOTHING, PERMUTED, front, fronts, page
from reproduce import CONCEPTS
from study import Row, Study, Trial, opened
from variants import DEFAULT, PAPER, given, trial_of

from excise import registry
from excise.edit import Edit, Recipe
from excise.emoji.pictures import WATERMARK
from excise.errors import NumericalError, UserError
from excise.method import Budget
from excise.primitives import arithmetic
from excise.progress import for_stream
from excise.reporting import Report
from excise.rng import generator
from excise.store import write_json, write_text
from excise.suite import SIZES, Sizes

DOCS = Path(__file__).resolve().parent.parent / "docs"
OTHERS = sorted(name for name in registry.names("eraser") if name != DEFAULT)
METHODS = (DEFAULT, PAPER, *OTHERS)
LOOKS: Mapping[Budget, Sizes] = {
    "quick": replace(SIZES["quick"], cascade=False),  # every row meets the same attacks
    "standard": SIZES["standard"],
}
"""Of what is looked at; every edit is made at the standard budget."""
COSTS = ("seconds", "peak_bytes", "pictures")


def methods_for(concept: str) -> tuple[str, ...]:
    """Those that can take a concept, the baselines first; the watermark is given by pictures."""
    able = [name for name in METHODS if concept != WATERMARK or "pictures" in given(name)]
    return (*BASELINES, *able)


class Table:
    """Edits and their rows, each kept as soon as it is made."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def row(self, concept: str, method: str, budget: Budget) -> Row:
        """One edit's figures, looked at with a budget.

        With ``why`` alone, where the method said that it cannot, or came to numbers that are not
        finite.
        """
        study = self.study
        made = trial_of(concept, DEFAULT if method in BASELINES else method)
        measured = study.measured(concept, LOOKS[budget], 0)
        key = study.key(table=study.name(made), baseline=method, measured=measured)

        def make() -> Row:
            name: Row = {"concept": concept, "method": method, "budget": budget}
            try:
                edit, facts = self._edit(made, method)
            except (UserError, NumericalError) as error:
                return {**name, "why": str(error)}
            try:
                report = study.report(edit, concept, sizes=LOOKS[budget])
            except NumericalError as error:  # an edit that ruins a model may do so to a search
                return {**name, "why": str(error)}
            return {**name, **facts, **of_edit(edit), **of_report(report)}

        row = study.row("table", f"{concept}-{method.replace(' ', '_')}-{budget}-{key}", make)
        say(row)
        return row

    def _edit(self, trial: Trial, method: str) -> tuple[Edit, Row]:
        study = self.study
        if method == NOTHING:
            return Edit.of(study.model, {}, recipe=Recipe(method=NOTHING)), {}
        name = study.name(trial)
        costs = study.row("costs", name, lambda: apart(study.work, trial))
        edit, notes = study.edit(trial)
        if method == PERMUTED:
            mixed = arithmetic.permuted(
                {name: edit.dense(name) for name in edit.deltas}, generator("permuted", trial.seed)
            )
            return Edit.of(study.model, mixed, recipe=Recipe(method=PERMUTED)), {}
        return edit, {**notes, **{name: costs[name] for name in COSTS}}

    def rows(self, concepts: Sequence[str]) -> list[Row]:
        """All at the quick budget, and at the standard one what is to be looked at again."""
        quick = [
            self.row(concept, method, "quick")
            for concept in concepts
            for method in methods_for(concept)
        ]
        again = {(row["concept"], row["method"]) for row in front(quick)} | {
            (row["concept"], row["method"]) for row in quick if row["method"] in (DEFAULT, BESIDE)
        }
        order = [(row["concept"], row["method"]) for row in quick]
        return quick + [self.row(*pair, "standard") for pair in order if pair in again]


def apart(work: Path, trial: Trial) -> Row:
    """Make an edit in another process, so that its peak of memory is its own; what it cost.

    Also of a search without an answer. An edit that was made before, or was begun, is made once
    more, in a folder that is thrown away.

    Raises:
        UserError: the method cannot take the concept, as it says. NumericalError: as it says.
    """
    there = multiprocessing.get_context("spawn")
    ours, theirs = there.Pipe(duplex=False)
    child = there.Process(target=_make, args=(work, trial, torch.get_num_threads(), theirs))
    child.start()
    theirs.close()
    try:
        kind, said = ours.recv()
    except EOFError:
        kind, said = "", None
    child.join()
    if kind in REFUSED:
        raise REFUSED[kind](str(said))
    if not kind or child.exitcode:
        raise SystemExit(f"expected an edit by {trial.method}, got exit code {child.exitcode}")
    return dict(said)


REFUSED: Mapping[str, type[Exception]] = {"user": UserError, "numbers": NumericalError}


def _make(work: Path, trial: Trial, threads: int, answer: Any) -> None:
    torch.set_num_threads(threads)
    study = Study(work, for_stream(sys.stderr))
    try:
        with tempfile.TemporaryDirectory() as empty:
            if study.begun(trial):
                study = Study(Path(empty), study.progress, model=study.model)
            answer.send(("made", priced(study, trial)))
    except UserError as error:
        answer.send(("user", str(error)))
    except NumericalError as error:
        answer.send(("numbers", str(error)))


def priced(study: Study, trial: Trial) -> Row:
    """Make an edit; what the model's counter says that it cost."""
    before = study.model.costs
    study.edit(trial)
    return (study.model.costs - before).to_json()


def of_edit(edit: Edit) -> Row:
    """How much of the model it changes: weights that it moves, hooks, bytes."""
    touched = sum(int(edit.dense(name).count_nonzero()) for name in edit.deltas)
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


def say(row: Mapping[str, Any]) -> None:
    """One line a row, on the terminal."""
    if "why" in row:
        text = str(row["why"])
    else:
        text = f"plain {row['plain'][0]:.0%} E {row.get('excess')} worst {row.get('worst')}"
        if "infeasible" in row:
            text += f" ({row['infeasible']})"
    sys.stdout.write(f"{row['concept']} {row['method']} {row['budget']} | {text}\n")
    sys.stdout.flush()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--concept", action="append", choices=CONCEPTS, help="only measure this one; repeat"
    )
    options, study = opened(parser, renders=False)
    rows = Table(study).rows(options.concept or CONCEPTS)
    if options.concept:  # a part of the work, which a run over all of them finds
        return
    write_json(DOCS / "methods.json", rows)
    for budget in LOOKS:
        plots.fronts(fronts(rows, budget), DOCS / "figures" / f"methods-{budget}.svg")
    write_text(DOCS / "methods.md", page(rows))


if __name__ == "__main__":
    main()
