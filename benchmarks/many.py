"""Several concepts at once, in turn, and as merged edits: ``python benchmarks/many.py``.

At once: 1, 5, 10 and all objects but three, by one edit. After each other: an edit made on a model
that was edited already. Merged: the sum of two edits that knew nothing of one another. Beside these
two stand the edits of each concept alone, and what differs is their interference. Each class that
the model draws is drawn with the edit and without; goes on after a stop. Writes ``docs/many.json``
and ``docs/many.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mdtable import table
from study import Row, Study, opened
from variants import title

import excise
from excise.api.erasing import eraser_of
from excise.edit import Edit
from excise.errors import NumericalError, UserError
from excise.primitives.kept import kept, kept_probe
from excise.primitives.probe import Look, Probe
from excise.settings import recipe
from excise.stats import Observations, difference_interval
from excise.store import write_json, write_text

DOCS = Path(__file__).resolve().parent.parent / "docs"
METHODS = ("task_vector", "speed", "uce")
STAY = 3  # of all objects, where all others go
COUNTS = (1, 5, 10, None)  # None: all but `STAY`
PAIRS = (("cat", "dog"), ("cat", "car"), ("sketch", "cat"))  # near to each other, far, of two kinds
EACH = 16
BUDGET: excise.Budget = "quick"
MARK = "†"
Names = tuple[str, ...]
Notes = tuple[Row, ...]


@dataclass(frozen=True, eq=False)
class Made:
    """An edit, and what is known of those that it was made of; see `Study.erased`."""

    edit: Edit
    notes: Notes


class Many:
    """Edits of several concepts and what they leave, each kept under what it depends on."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.judge = study.judges(PAIRS[0][0]).first
        self.probe: Probe = kept_probe(study.model, (), EACH, judge=self.judge)
        self._looks: dict[str, Look] = {}
        self.before = self._look(None)

    def rows(self) -> Iterator[Row]:
        """Everything, each row as soon as it is measured."""
        objects = tuple(one.name for one in self.study.model.known if one.kind == "object")
        for method in METHODS:
            for count in COUNTS:
                names = objects[: len(objects) - STAY if count is None else count]
                yield self.row("at once", method, names, self.at_once(method, names))
            for name in dict.fromkeys(name for pair in PAIRS for name in pair):
                yield self.row("alone", method, (name,), self.at_once(method, (name,)))
            for pair in PAIRS:
                for way, make in (("one by one", self.in_turn), ("merged", self.merged)):
                    yield self.row(way, method, pair, make(method, pair))

    def row(self, way: str, method: str, names: Names, make: Callable[[], Made]) -> Row:
        """What is left of each concept and of everything else; of two, their interference too.

        With ``why`` alone, where a method refuses, or comes to numbers that are not finite.
        """
        key = self._key(way, method, names)

        def measured() -> Row:
            name: Row = {"way": way, "method": method, "concepts": list(names)}
            try:
                made = make()
                found = {**name, **_told(made.notes), **self._figures(names, made.edit)}
                if way in TWICE:
                    found["interference"] = self._interference(method, names, made.edit)
            except (UserError, NumericalError) as error:
                return {**name, "why": str(error)}
            return found

        found = self.study.row("many", f"{way.replace(' ', '_')}-{method}-{key}", measured)
        sys.stdout.write(f"{found}\n")
        sys.stdout.flush()
        return found

    def at_once(self, method: str, names: Names) -> Callable[[], Made]:
        """One edit for all of them."""
        return lambda: self._erased(method, names)

    def in_turn(self, method: str, names: Names) -> Callable[[], Made]:
        """Each erased from the model that the one before has left."""

        def make() -> Made:
            found: Made | None = None
            for i, name in enumerate(names):
                found = self._erased(method, (name,), found, names[:i])
            if found is None:
                raise ValueError("expected one concept or more, got none")
            return found

        return make

    def merged(self, method: str, names: Names) -> Callable[[], Made]:
        """The sum of an edit for each."""

        def make() -> Made:
            first, *rest = (self._erased(method, (name,)) for name in names)
            for other in rest:
                first = Made(first.edit + other.edit, (*first.notes, *other.notes))
            return first

        return make

    def _erased(
        self, method: str, names: Names, before: Made | None = None, earlier: Names = ()
    ) -> Made:
        """An edit of some concepts, of a model that ``before`` has changed; both as one."""
        study = self.study
        file = study.work / "many" / f"{self._key('edit', method, names, earlier)}.safetensors"
        concepts = [study.concept(name, shown=False) for name in names]
        with nullcontext() if before is None else before.edit.applied(study.model):
            found, notes = study.erased(file, concepts, method=method, budget=BUDGET)
        if before is None:
            return Made(found, (notes,))
        return Made(before.edit.then(found), (*before.notes, notes))

    def _key(self, way: str, method: str, names: Names, earlier: Names = ()) -> str:
        concepts = [self.study.concept(name, shown=False) for name in names]
        settings = recipe(eraser_of(self.study.model, method, None, BUDGET, concepts=concepts))
        parts: dict[str, Any] = {"way": way, "method": method, "settings": settings}
        return self.study.key(
            **parts, many=list(names), earlier=list(earlier), probe=self.probe.digest,
            judge=self.judge.digest,  # type: ignore[attr-defined]
        )  # fmt: skip

    def _look(self, edit: Edit | None) -> Look:
        """What a model makes of the probe; the same edit is looked at once a run."""
        study, key = self.study, "" if edit is None else edit.digest
        if key not in self._looks:
            with nullcontext() if edit is None else edit.applied(study.model):
                self._looks[key] = self.probe.look(study.model, self.judge, progress=study.progress)
        return self._looks[key]

    def _figures(self, names: Names, edit: Edit) -> Row:
        """Rates of each concept, and what is kept of all other classes."""
        after = self._look(edit)
        rest = self._rest(names)
        stayed = kept(after.take(rest), self.before.take(rest))
        worst = stayed.worst
        return {
            "before": {name: self.before.rate(name).value for name in names},
            "after": {name: after.rate(name).value for name in names},
            "kept": stayed.mean,
            "kept_low": stayed.lower,
            "worst": None if worst is None else worst.ratio,
            "worst_label": None if worst is None else worst.name,
            "bytes": edit.nbytes,
        }

    def _rest(self, names: Names) -> list[int]:
        return [i for i, shot in enumerate(self.probe.shots) if shot.group not in names]

    def _interference(self, method: str, names: Names, edit: Edit) -> Row:
        """What the two edits do to one another, in the same pictures; each with its interval.

        By concept, its rate after both less that after its own edit alone: above 0, the other edit
        has brought it back. kept: what is kept of everything but the two after both, less the
        smaller of what is kept of it after each alone.
        """
        after = self._look(edit)
        alone = {name: self._look(self._erased(method, (name,)).edit) for name in names}
        found: Row = {}
        for name in names:
            rows = after.rows(name)
            found[name] = self._gap(after, alone[name], rows)
        rest = self._rest(names)
        least = min(alone.values(), key=lambda look: float(look.hits[rest].double().mean()))
        drawn = float(self.before.hits[rest].double().mean()) or 1.0
        found["kept"] = [value / drawn for value in self._gap(after, least, rest)]
        return found

    def _gap(self, one: Look, other: Look, rows: Sequence[int]) -> list[float]:
        """The rate of one look less that of another, with its interval over prompts."""
        gap = (one.hits[rows].double() - other.hits[rows].double()).numpy()
        prompts = [self.probe.shots[i].prompt.key for i in rows]
        if len(set(prompts)) < 2:
            prompts = [str(i) for i in rows]
        found = difference_interval(Observations.of(np.asarray(gap), {"prompt": prompts}))
        return [found.value, found.low, found.high]


def _told(notes: Notes) -> Row:
    """Of several edits: how many a search for a strength settled, and how."""
    able = [one for one in notes if one]
    if not able:
        return {}
    found: Row = {"settled": len(able), **{
        name: sum(bool(one[name]) for one in able) for name in ("feasible", "verified")
    }}  # fmt: skip
    why = [one["infeasible"] for one in able if "infeasible" in one]
    return {**found, "infeasible": why} if why else found


TWICE = ("one by one", "merged")
HEAD = ("way", "method", "concepts", "feasible", "verified", "drawn before", "drawn after",
        "most of one", "kept (lower bound)", "worst class", "file, MB")  # fmt: skip


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "# Several concepts\n\nBy `python benchmarks/many.py` on the embedded model, at the "
        f"budget `{BUDGET}`: {EACH} pictures of each class, plain words. Shares in percent; *most "
        "of one*: the concept that is drawn most often afterwards. One by one: the second is "
        "erased from the model that the first edit has left. Merged: the sum of two edits. Alone: "
        "the edits that these two are made of, and compared with. *Feasible*, *verified*: of the "
        f"edits whose strength was searched for. {MARK}: for one of them no strength both takes "
        "the concept out and keeps the rest, and the nearest to both stands in its place.\n",
        table(HEAD, map(_cells, rows)),
    ]
    both = [row for row in rows if "interference" in row]
    if both:
        lines.append(
            "## Interference\n\nWhat two edits do to one another, in points with 95 % intervals: "
            "how much more of a concept is drawn after both than after its own edit alone, and how "
            "much more of everything else is kept than after that one of the two alone which keeps "
            "less, below 0 where it is less. The same prompts and seeds; of a concept "
            f"{EACH} pictures, so that only a large difference would be seen.\n"
        )
        head = ("way", "method", "first, then second", "of the first", "of the second", "kept")
        lines.append(table(head, map(_between, both)))
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
    names = row["concepts"]
    said = ", ".join(names) if len(names) < 4 else f"{len(names)}"
    method = title(row["method"]) + (MARK if "infeasible" in row else "")
    if "why" in row:
        return [row["way"], method, said, str(row["why"]), *[""] * (len(HEAD) - 4)]
    before, after = (list(row[key].values()) for key in ("before", "after"))
    most = max(row["after"], key=row["after"].get)
    settled = row.get("settled")
    return [
        row["way"], method, said,
        *(f"{row[key]} of {settled}" if settled else "–" for key in ("feasible", "verified")),
        f"{100 * sum(before) / len(before):.0f}", f"{100 * sum(after) / len(after):.1f}",
        f"{most} {100 * row['after'][most]:.0f}",
        f"{100 * row['kept']:.1f} ({100 * row['kept_low']:.1f})",
        f"{row['worst_label']} {100 * (row['worst'] or 0):.0f}",
        f"{row['bytes'] / 1e6:.1f}",
    ]  # fmt: skip


def _between(row: Mapping[str, Any]) -> list[str]:
    found = row["interference"]
    gaps = [found[name] for name in (*row["concepts"], "kept")]
    return [
        row["way"],
        title(row["method"]),
        ", ".join(row["concepts"]),
        *("{:+.0f} ({:+.0f} to {:+.0f})".format(*(100 * value for value in gap)) for gap in gaps),
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    _, study = opened(parser)
    rows = list(Many(study).rows())
    write_json(DOCS / "many.json", rows)
    write_text(DOCS / "many.md", page(rows))


if __name__ == "__main__":
    main()
