"""Plots of the experiments, one look for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from strengths import SIZES, predicted
from variants import title

Row = Mapping[str, Any]
COLOURS = ("#1b6ca8", "#d1495b", "#3d9970", "#e08e0b", "#7b52ab", "#5c6b73", "#b5838d", "#118ab2")
MARKERS = "osv"


def rung_of(row: Row) -> str:
    """The rung that counts in a row."""
    return str(row.get("headline") or next(iter(row["rungs"])))


def searched(row: Row, arm: str = "edit") -> float:
    """What Concept Inversion brings back at the rung that counts."""
    return float(row["rungs"][rung_of(row)][arm])


def excess(row: Row, arm: str = "edit") -> float:
    """The same over what it brings out of the oracle; as it is where there is none."""
    return searched(row, arm) - float(row["rungs"][rung_of(row)].get("oracle", 0.0))


def series_of(row: Row) -> str:
    """The name of the line that a row belongs to."""
    return str(row.get("maker") or _settings(row) or row.get("method") or "the default")


def _settings(row: Row) -> str:
    return ", ".join(f"{k} {v}" for k, v in row.get("settings", {}).items() if k != "strength")


def by_method(rows: Sequence[Row], path: Path) -> None:
    """`trade_off` with a mark a method, under all of its settings."""
    trade_off(rows, path, series=lambda row: title(row["method"]), joined=False)


def over_oracle(rows: Sequence[Row], path: Path) -> None:
    """`trade_off` of the excess over the oracle."""
    trade_off(rows, path, over=True)


def trade_off(
    rows: Sequence[Row],
    path: Path,
    series: Callable[[Row], str] = series_of,
    joined: bool = True,
    over: bool = False,
) -> None:
    """What is kept against what a search brings back; a panel a concept, a line a way.

    series: what a row belongs to. joined: by a line, in the order of the strengths. over: the
    excess over the oracle.
    """
    height = excess if over else searched
    rows = [row for row in rows if "why" not in row]
    concepts = list(dict.fromkeys(row["concept"] for row in rows))
    figure, axes = plt.subplots(
        1, len(concepts), figsize=(5.6 * len(concepts), 4.6), squeeze=False, layout="constrained"
    )
    names = list(dict.fromkeys(map(series, rows)))
    for axis, concept in zip(axes[0], concepts, strict=True):
        own = [row for row in rows if row["concept"] == concept]
        for i, name in enumerate(names):
            line = [row for row in own if series(row) == name]
            line.sort(key=lambda row: row.get("alpha", 0))
            marker = MARKERS[i // len(COLOURS) % len(MARKERS)]
            axis.plot(
                [100 * row["kept"] for row in line],
                [100 * height(row) for row in line],
                marker + "-" if joined and len(line) > 1 else marker,
                color=COLOURS[i % len(COLOURS)],
                markersize=4,
                label=name,
            )
        floors = [height(row, "oracle") for row in own if "oracle" in row["rungs"][rung_of(row)]]
        if floors:
            axis.axhline(100 * floors[0], color="black", lw=0.8, ls="--", label="oracle")
        axis.axvline(95, color="black", lw=0.6, ls=":")
        axis.set_title(concept)
        axis.set_xlabel("everything else, share of the base's rate kept [%]")
        axis.set_ylabel(
            "excess of Concept Inversion over the oracle [points]"
            if over
            else "brought back by Concept Inversion [%]"
        )
        axis.set_ylim(-23 if over else -3, 103)
    axes[0][-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _save(figure, path)


def strengths(rows: Sequence[Row], path: Path) -> None:
    """The strength that sets predict by their size, and what a fresh search needs."""
    concepts = list(dict.fromkeys(row["concept"] for row in rows))
    figure, axes = plt.subplots(
        1, len(concepts), figsize=(5 * len(concepts), 4), squeeze=False, layout="constrained"
    )
    for axis, concept in zip(axes[0], concepts, strict=True):
        own = [row for row in rows if row["concept"] == concept]
        beyond = 1.15 * max(row["alpha"] for row in own)  # stronger than any that was tried
        for i, (kind, label) in enumerate(SETS.items()):
            part = [row for row in own if row["set"] == kind]
            found = [np.minimum(predicted(part, size), beyond) for size in SIZES]
            axis.plot(SIZES, [np.mean(v) for v in found], "o-", color=COLOURS[i], label=label)
            low, high = zip(*(np.quantile(v, (0.1, 0.9)) for v in found), strict=True)
            axis.fill_between(SIZES, low, high, color=COLOURS[i], alpha=0.15, lw=0)
        axis.set_xscale("log", base=2)
        axis.set_xticks(SIZES, [str(size) for size in SIZES])
        axis.axhline(beyond, color="black", lw=0.6, ls=":")
        axis.set_title(concept)
        axis.set_xlabel("inputs")
    axes[0][0].set_ylabel("strength from which all of them are extinct")
    axes[0][-1].legend(fontsize=8)
    _save(figure, path)


SETS = {
    "repulsed": "found before, kept diverse",
    "independent": "found before, independent",
    "fresh": "begun anew on each edit",
}
RUNGS = {
    "t1": "1 token",
    "t2": "2 tokens",
    "t4": "4 tokens",
    "t8": "8 tokens",
    "condition": "conditioning",
    "step_condition": "one a step",
}
ARMS = {"base": "before", "oracle": "never shown"}


def ladders(rows: Sequence[Row], path: Path) -> None:
    """What a search brings back, by how much it may move: a panel a concept."""
    concepts = list(dict.fromkeys(row["concept"] for row in rows))
    figure, axes = _panels(len(concepts), 3.2, 3.2)
    names = [*dict.fromkeys(title(row["method"]) for row in rows), *ARMS.values()]
    colours = dict(zip(names, COLOURS, strict=False))
    for axis, concept in zip(axes, concepts, strict=False):
        own = [row for row in rows if row["concept"] == concept]
        keys = [key for key in RUNGS if key in own[0]["rungs"]]
        lines = {title(row["method"]): [row["rungs"][k]["edit"] for k in keys] for row in own}
        for arm, label in ARMS.items():
            if all(arm in own[0]["rungs"][k] for k in keys):
                lines[label] = [own[0]["rungs"][k][arm] for k in keys]
        for label, values in lines.items():
            axis.plot([RUNGS[k] for k in keys], [100 * v for v in values], "o-",
                      color=colours[label], markersize=4, label=label)  # fmt: skip
        axis.set_title(concept)
        axis.set_ylim(-3, 103)
        axis.set_ylabel("brought back [%]")
        axis.tick_params(axis="x", rotation=60)
    handles = [Line2D([], [], color=colours[name], marker="o", ms=4) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=8)
    _save(figure, path)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Of (excess, kept): is one no worse in either, and better in one?"""
    return one[0] <= other[0] and one[1] >= other[1] and one != other


def fronts(concepts: Mapping[str, Mapping[str, tuple[float, float]]], path: Path) -> None:
    """By concept, by method: the bound of what comes back, and that of what is kept at worst.

    All of them are to have been measured with one budget: a smaller one finds less.
    """
    figure, axes = _panels(len(concepts), 3.6, 3.4)
    for axis, (concept, ends) in zip(axes, concepts.items(), strict=False):
        for name, (upper, low) in ends.items():
            axis.plot([100 * low], [100 * upper], "o", color=COLOURS[0], markersize=4)
            axis.annotate(title(name), (100 * low, 100 * upper), fontsize=6,
                          xytext=(3, 3), textcoords="offset points")  # fmt: skip
        best = sorted(
            (low, upper)
            for upper, low in ends.values()
            if not any(beats(other, (upper, low)) for other in ends.values())
        )
        axis.plot([100 * k for k, _ in best], [100 * e for _, e in best], color=COLOURS[1], lw=1)
        axis.set_title(concept)
        axis.set_xlabel("worst class kept, lower bound [%]")
        axis.set_ylabel("E, upper bound [%]")
    _save(figure, path)


def _panels(n: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure with a panel for each of ``n`` concepts, four in a line."""
    columns = min(4, n)
    lines = -(-n // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(width * columns, height * lines), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis in list(axes.flat)[n:]:
        axis.set_axis_off()
    return figure, list(axes.flat)


def _save(figure: Figure, path: Path) -> None:
    """Write and close; the same bytes for the same figure, so that a file changes with its data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
