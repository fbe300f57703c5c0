"""Several concepts at once, in turn, and as merged edits: ``python benchmarks/many.py``.

At once: 1, 5, 10 and all objects but three, by one edit. After each other: an edit made on a model
that was edited already. Merged: the sum of two edits that knew nothing of one another. Each class
that the model draws is drawn with the edit and without; goes on after a stop. Writes
``docs/many.json`` and ``docs/many.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mdtable import table
from study import Row, Study, opened

import excise
from excise.api.erasing import eraser_of
from excise.edit import Edit
from excise.errors import UserError
from excise.primitives.kept import kept, kept_probe
from excise.primitives.probe import Look, Probe
from excise.settings import recipe
from excise.store import write_json, write_text

DOCS = Path(__file__).resolve().parent.parent / "docs"
METHODS = ("task_vector", "speed", "uce")
STAY = 3  # of all objects, where all others go
COUNTS = (1, 5, 10, None)  # None: all but `STAY`
PAIRS = (("cat", "dog"), ("cat", "car"), ("sketch", "cat"))  # near to each other, far, of two kinds
EACH = 16
BUDGET: excise.Budget = "quick"
Names = tuple[str, ...]


class Many:
    """Edits of several concepts and what they leave, each kept under what it depends on."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.judge = study.judges(PAIRS[0][0]).first
        self.probe: Probe = kept_probe(study.model, (), EACH, judge=self.judge)
        self.before = self._look(None)

    def rows(self) -> Iterator[Row]:
        """Everything, each row as soon as it is measured."""
        objects = tuple(one.name for one in self.study.model.known if one.kind == "object")
        for method in METHODS:
            for count in COUNTS:
                names = objects[: len(objects) - STAY if count is None else count]
                yield self.row("at once", method, names, self.at_once(method, names))
            for pair in PAIRS:
                for way, make in (("one by one", self.in_turn), ("merged", self.merged)):
                    yield self.row(way, method, pair, make(method, pair))

    def row(self, way: str, method: str, names: Names, edit: Callable[[], Edit]) -> Row:
        """What is left of each concept, and of everything else."""
        key = self._key(way, method, names)

        def make() -> Row:
            name: Row = {"way": way, "method": method, "concepts": list(names)}
            try:
                return {**name, **self._figures(names, edit())}
            except UserError as error:
                return {**name, "why": str(error)}

        found = self.study.row("many", f"{way.replace(' ', '_')}-{method}-{key}", make)
        sys.stdout.write(f"{found}\n")
        sys.stdout.flush()
        return found

    def at_once(self, method: str, names: Names) -> Callable[[], Edit]:
        """One edit for all of them."""
        return lambda: self._erased(method, names)

    def in_turn(self, method: str, names: Names) -> Callable[[], Edit]:
        """Each erased from the model that the one before has left."""

        def make() -> Edit:
            found: Edit | None = None
            for i, name in enumerate(names):
                found = self._erased(method, (name,), found, names[:i])
            if found is None:
                raise ValueError("expected one concept or more, got none")
            return found

        return make

    def merged(self, method: str, names: Names) -> Callable[[], Edit]:
        """The sum of an edit for each."""

        def make() -> Edit:
            first, *rest = (self._erased(method, (name,)) for name in names)
            for other in rest:
                first = first + other
            return first

        return make

    def _erased(
        self, method: str, names: Names, before: Edit | None = None, earlier: Names = ()
    ) -> Edit:
        """An edit of some concepts, of a model that ``before`` has changed; both as one."""
        study = self.study
        file = study.work / "many" / f"{self._key('edit', method, names, earlier)}.safetensors"
        if not file.exists():
            concepts = [study.concept(name, shown=False) for name in names]
            with nullcontext() if before is None else before.applied(study.model):
                excise.erase(study.model, concepts, method=method, budget=BUDGET,
                             judge=study.judge, out=file, progress=study.progress)  # fmt: skip
        found = Edit.load(file)
        return found if before is None else before.then(found)

    def _key(self, way: str, method: str, names: Names, earlier: Names = ()) -> str:
        settings = recipe(eraser_of(self.study.model, method, None, BUDGET))
        parts: dict[str, Any] = {"way": way, "method": method, "settings": settings}
        return self.study.key(
            **parts, many=list(names), earlier=list(earlier), probe=self.probe.digest,
            judge=self.judge.digest,  # type: ignore[attr-defined]
        )  # fmt: skip

    def _look(self, edit: Edit | None) -> Look:
        study = self.study
        with nullcontext() if edit is None else edit.applied(study.model):
            return self.probe.look(study.model, self.judge, progress=study.progress)

    def _figures(self, names: Names, edit: Edit) -> Row:
        """Rates of each concept, and what is kept of all other classes."""
        after = self._look(edit)
        rest = [i for i, shot in enumerate(self.probe.shots) if shot.group not in names]
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


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    head = ("way", "method", "concepts", "drawn before", "drawn after", "most of one",
            "kept (lower bound)", "worst class", "file, MB")  # fmt: skip
    lines = [
        "# Several concepts\n\nBy `python benchmarks/many.py` on the embedded model, at the "
        f"budget `{BUDGET}`: {EACH} pictures of each class, plain words. Shares in percent; *most "
        "of one*: the concept that is drawn most often afterwards. One by one: the second is "
        "erased from the model that the first edit has left. Merged: the sum of two edits.\n",
        table(head, map(_cells, rows)),
    ]
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
    names = row["concepts"]
    said = ", ".join(names) if len(names) < 4 else f"{len(names)}"
    if "why" in row:
        return [row["way"], row["method"], said, str(row["why"]), "", "", "", "", ""]
    before, after = (list(row[key].values()) for key in ("before", "after"))
    most = max(row["after"], key=row["after"].get)
    return [
        row["way"], row["method"].replace("_", " "), said,
        f"{100 * sum(before) / len(before):.0f}", f"{100 * sum(after) / len(after):.1f}",
        f"{most} {100 * row['after'][most]:.0f}",
        f"{100 * row['kept']:.1f} ({100 * row['kept_low']:.1f})",
        f"{row['worst_label']} {100 * (row['worst'] or 0):.0f}",
        f"{row['bytes'] / 1e6:.1f}",
    ]  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    _, study = opened(parser)
    rows = list(Many(study).rows())
    write_json(DOCS / "many.json", rows)
    write_text(DOCS / "many.md", page(rows))


if __name__ == "__main__":
    main()
