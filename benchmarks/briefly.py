"""What stands in the README of two experiments: how strong an edit must be, and what of it acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matched import LEVELS, crossing, lines
from mdtable import table
from plots import SETS
from strengths import SIZES, mean_of, predicted

from excise.store import read_json

Row = Mapping[str, Any]
LEVEL = LEVELS[1]
"""Of the excess over the oracle, at which vectors are compared."""
VECTORS = {
    "plain": "the whole",
    "half of the gain": "blocks of half its gain",
    "most of the gain": "blocks of most of it",
    "as many by chance, 1": "as many blocks by chance",
    "as many by chance, 2": "again",
    "as many by chance, 3": "again",
    "of dog": "another thing's",
    "generic": "a generic one",
    "shuffled": "its entries shuffled",
}


def briefly(folder: Path, place: str) -> str:
    """Markdown of what was measured of the two; empty where neither was.

    folder: with the experiments' JSON files. place: of ``docs``, as the page's links have it.
    """
    found = [
        write(rows, place)
        for name, write in (("strength", strength), ("parts", parts))
        if (file := folder / f"{name}.json").exists() and (rows := _rows(file))
    ]
    if not found:
        return ""
    head = (
        "\nOn the development concepts, with few pictures, so that it claims nothing "
        f"([experiments]({place}experiments.md)):\n"
    )
    return "\n".join([head, *found])


def strength(rows: Sequence[Row], place: str) -> str:
    """The strength that sets predict by their size, beside what a fresh search needs."""
    most = max(row["alpha"] for row in rows)
    cells = []
    for concept in dict.fromkeys(row["concept"] for row in rows):
        for kind, label in SETS.items():
            own = [row for row in rows if (row["concept"], row["set"]) == (concept, kind)]
            if own:
                sizes = (predicted(own, size) for size in SIZES)
                cells.append([concept, label, *(mean_of(values, most) for values in sizes)])
    head = ("concept", "inputs", *map(str, SIZES))
    return (
        f"![Strength, by the size of a set]({place}experiments/strength.svg)\n\n"
        "*How strong must a task vector be?* The strength from which on a set of inputs is "
        "extinct, by its size. What is begun anew on each edit is what an attack needs; a set that "
        "asks for less did not foresee it. By `python benchmarks/experiments.py strength`.\n\n"
        + table(head, cells)
    )


def parts(rows: Sequence[Row], place: str) -> str:
    """What is kept at equal excess by the vector, parts of it, and vectors of something else."""
    rows = [row for row in rows if "why" not in row and row["maker"] in VECTORS]
    makers = [name for name in VECTORS if any(row["maker"] == name for row in rows)]
    cells = []
    for concept in dict.fromkeys(row["concept"] for row in rows):
        found = lines([row for row in rows if row["concept"] == concept])
        points = [crossing(found[name], LEVEL) if name in found else None for name in makers]
        cells.append([concept, *("–" if p is None else f"{100 * p.kept:.0f}" for p in points)])
    return (
        f"![Parts and controls]({place}experiments/parts.svg)\n\n"
        "*What of a task vector acts?* What is kept, in percent, at the strength at which the "
        f"excess over a model that never saw the concept has fallen to {100 * LEVEL:.0f} points; "
        "–: it does not fall so far. By `python benchmarks/experiments.py parts`.\n\n"
        + table(("concept", *(VECTORS[name] for name in makers)), cells)
    )


def _rows(file: Path) -> list[Row]:
    found: Any = read_json(file)
    return list(found)
