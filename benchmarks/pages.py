"""``docs/experiments.md``: every experiment with what it asked, its plot and its points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdtable import table
from plots import rung_of, series_of
from rivals import best
from strengths import SIZES, predicted

from excise.store import read_json, write_text

Row = Mapping[str, Any]

ASKED: Mapping[str, str] = {
    "curves": "Which way of making the vector keeps most at equal erasure? Nothing is healed here; "
    "a line is one way at several strengths, and lower and further right is better.",
    "healing": "How hard to erase before healing, how long to heal, what to hold down: the default "
    "and one change at a time.",
    "settings": "The two that the README compares with, each under as many settings as the default "
    "was tried with.",
    "methods": "Every other method, each under as many settings.",
    "parts": "A part of the vector against the whole of it, against as many blocks by chance at an "
    "equal norm, and against vectors of something else.",
    "strength": "The strength from which on a set of inputs is extinct, by the size of the set, "
    "with diversity and without, against what searches begun anew on every edit need.",
}
HEAD = """# Experiments

All of them are on the development concepts, `cat` and `sketch`, of the embedded model; nothing here
was measured on the concepts that the README reports. `python benchmarks/experiments.py` makes every
point again. Points have few pictures: they choose between settings and claim nothing. What lost is
kept.

Columns: *plain*: pictures of plain words that show the concept. *searched*: what Concept Inversion,
begun anew, brings back at the rung that is named, on the unedited model and after the edit. *kept*:
everything else, as a share of the unedited model's rate, with its lower bound; *worst*: the class
that lost most; *near*: the nearest neighbours.
"""


def page(folder: Path, goal: Path) -> None:
    """Write the page from the JSON files in the folder, in the order of `ASKED`."""
    parts = [HEAD]
    for name, asked in ASKED.items():
        file = folder / f"{name}.json"
        if file.exists():
            rows: Any = read_json(file)
            own = set_table(rows) if name == "strength" else point_table(rows)
            plot = f"![{name}]({folder.name}/{name}.svg)"
            parts += [f"## {name.capitalize()}\n\n{asked}\n", plot + "\n", own]
            parts += [frozen(rows)] if name in ("settings", "methods") else []
    write_text(goal, "\n".join(parts))


def frozen(rows: Sequence[Row]) -> str:
    """Of each method, the settings that are written into its file; see `rivals.best`."""
    lines = ["What wins at 95 % kept or more on both concepts, and is `measured` in its file:\n"]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = best(row for row in rows if row["method"] == method)["settings"]
        said = ", ".join(f"`{name}` {value}" for name, value in own.items()) or "the defaults"
        lines.append(f"- {method.replace('_', ' ')}: {said}")
    return "\n".join(lines) + "\n"


def point_table(rows: Sequence[Row]) -> str:
    """A row a point."""
    head = ("concept", "what", "strength", "plain", "searched", "kept", "worst", "near")
    return table(head, (_point(row) for row in rows))


def _point(row: Row) -> tuple[str, ...]:
    rung = rung_of(row)
    arms = row["rungs"][rung]
    searched = " → ".join(f"{100 * arms[arm]:.0f}" for arm in ("base", "edit") if arm in arms)
    near = row.get("near")
    what = series_of(row) or "the default"
    if row.get("method") and what != row["method"]:
        what = f"{row['method']}: {what}"
    return (
        row["concept"],
        what,
        f"{row['alpha']:g}" if "alpha" in row else "",
        f"{100 * row['plain']:.0f}",
        f"{searched} ({rung})",
        f"{100 * row['kept']:.1f} ({100 * (row['kept_low'] or 0):.1f})",
        f"{row['worst_label']} {100 * (row['worst'] or 0):.0f}",
        "" if near is None else f"{100 * near:.0f}",
    )


def set_table(rows: Sequence[Row]) -> str:
    """A row a concept and kind of set: the strength that sets of each size predict."""
    found: list[tuple[str, ...]] = []
    for concept in dict.fromkeys(row["concept"] for row in rows):
        for kind in dict.fromkeys(row["set"] for row in rows):
            part = [row for row in rows if row["concept"] == concept and row["set"] == kind]
            cells = [sum(own) / len(own) for own in (predicted(part, size) for size in SIZES)]
            found.append((concept, kind, *(f"{cell:.2f}" for cell in cells)))
    return table(("concept", "set", *map(str, SIZES)), found)
