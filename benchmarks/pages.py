"""``docs/experiments.md``: every experiment with what it asked, its plot and its points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from controls import WAYS
from matched import matched_table
from mdtable import table
from plots import excess, rung_of, series_of
from rivals import KINDS, TRIED, best
from strengths import SIZES, mean_of, predicted

from excise.store import read_json, write_text

Row = Mapping[str, Any]

ASKED: Mapping[str, str] = {
    "curves": "Which way of making the vector keeps most at equal erasure? Nothing is healed here; "
    "a line is one way at several strengths, and lower and further right is better.",
    "healing": f"How to heal and what to hold down: the default and one change at a time, {TRIED} "
    "settings in all, each on two seeds.",
    "settings": f"The two that the README compares with, each under {TRIED} settings, as many as "
    "`healing` has of the default.",
    "methods": f"Every other method, each under {TRIED} settings.",
    "parts": "A part of the vector against the whole of it, against as many blocks by chance at an "
    "equal norm, and against vectors of something else.",
    "drift": "How much of the vector is of the concept? Beside it stands the drift that a "
    "fine-tune of as many steps on the model's own pictures of everything makes, the same for "
    "every concept: by block, the norms of both and the cosine between them.",
    "strength": "The strength from which on a set of inputs is extinct, by the size of the set, "
    "with diversity and without, against what searches begun anew on every edit need.",
}
HEAD = f"""# Experiments

All of them are on the development concepts, `cat` and `sketch`, of the embedded model; nothing here
was measured on the concepts that the README reports. `python benchmarks/experiments.py` makes every
point again. Points have few pictures: they choose between settings and claim nothing. What lost is
kept.

The default was tried more often than any rival. `healing` has {TRIED} settings of it on each
concept, as many as every rival has in `settings` and `methods`, but on two seeds where those have
one; and how its vector is made was chosen in `curves` besides, among {len(WAYS) + 1} ways and
controls at three strengths each, and no rival had such a second round. While it was written it was
also tried in ways that are not listed.

Columns: *plain*: pictures of plain words that show the concept. *searched*: what Concept Inversion,
begun anew, brings back at the rung that is named, on the unedited model and after the edit.
*excess*: of the latter, what is over what it brings out of a model that never saw the concept, in
points. *kept*: everything else, as a share of the unedited model's rate, with its lower bound;
*worst*: the class that lost most; *near*: the nearest neighbours.
"""


def page(folder: Path, goal: Path) -> None:
    """Write the page from the JSON files in the folder, in the order of `ASKED`."""
    parts = [HEAD]
    for name, asked in ASKED.items():
        file = folder / f"{name}.json"
        if file.exists():
            rows: Any = read_json(file)
            parts.append(f"## {name.capitalize()}\n\n{asked}\n")
            if name not in PLOTLESS:
                parts.append(f"![{name}]({folder.name}/{name}.svg)\n")
            parts.append(TABLES.get(name, point_table)(rows))
            parts += [matched_table(rows)] if name in ("curves", "parts") else []
            parts += [frozen(rows)] if name in ("settings", "methods") else []
    write_text(goal, "\n".join(parts))


def frozen(rows: Sequence[Row]) -> str:
    """Of each method, the settings that are written into its file; see `rivals.best`."""
    lines = [
        "What wins at 95 % kept or more, or else keeps most, and is `measured` in its file for "
        "what is like the concept:\n"
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        for concept, kind in KINDS.items():
            won, said = best(own, concept), "none of them could be made"
            if won is not None:
                named = (f"`{name}` {value}" for name, value in won["settings"].items())
                said = ", ".join(named) or "the defaults"
            lines.append(f"- {method.replace('_', ' ')}, {kind} ({concept}): {said}")
    return "\n".join(lines) + "\n"


def point_table(rows: Sequence[Row]) -> str:
    """A row a point."""
    return table(POINT, (_point(row) for row in rows))


def _point(row: Row) -> tuple[str, ...]:
    if "why" in row:
        said = [row["concept"], _what(row), _strength(row), str(row["why"])]
        return tuple(said + [""] * (len(POINT) - len(said)))
    rung = rung_of(row)
    arms = row["rungs"][rung]
    searched = " → ".join(f"{100 * arms[arm]:.0f}" for arm in ("base", "edit") if arm in arms)
    near = row.get("near")
    return (
        row["concept"],
        _what(row),
        _strength(row),
        f"{100 * row['plain']:.0f}",
        f"{searched} ({rung})",
        f"{100 * excess(row):.0f}" if "oracle" in arms else "–",
        f"{100 * row['kept']:.1f} ({100 * (row['kept_low'] or 0):.1f})",
        f"{row['worst_label']} {100 * (row['worst'] or 0):.0f}",
        "" if near is None else f"{100 * near:.0f}",
    )


def _what(row: Row) -> str:
    what = series_of(row)
    if row.get("method") and what != row["method"]:
        what = f"{row['method']}: {what}"
    return what + (f", seed {row['seed']}" if row.get("seed") else "")


def _strength(row: Row) -> str:
    return f"{row['alpha']:g}" if "alpha" in row else ""


def drift_table(rows: Sequence[Row]) -> str:
    """A row a concept and block."""
    head = ("concept", "block", "norm of the vector", "norm of the drift", "cosine")
    return table(
        head,
        (
            (
                row["concept"],
                row["block"],
                f"{row['tau']:.2f}",
                f"{row['drift']:.2f}",
                f"{row['cosine']:+.2f}",
            )
            for row in rows
        ),
    )


def set_table(rows: Sequence[Row]) -> str:
    """A row a concept and kind of set: the strength that sets of each size predict."""
    found: list[tuple[str, ...]] = []
    most = max(row["alpha"] for row in rows)
    for concept in dict.fromkeys(row["concept"] for row in rows):
        for kind in dict.fromkeys(row["set"] for row in rows):
            part = [row for row in rows if row["concept"] == concept and row["set"] == kind]
            cells = (mean_of(predicted(part, size), most) for size in SIZES)
            found.append((concept, kind, *cells))
    return table(("concept", "set", *map(str, SIZES)), found)


POINT = ("concept", "what", "strength", "plain", "searched", "excess", "kept", "worst", "near")
TABLES: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "drift": drift_table,
    "strength": set_table,
}
PLOTLESS = ("drift",)
