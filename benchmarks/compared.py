"""``docs/methods.md``: the table of methods, its front, and what of it beats the default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plots
from controls import WAYS
from experiments import HEALED_SEEDS
from mdtable import table
from rivals import RIVALS, TRIED
from variants import DEFAULT, PAPER, title

from excise.method import Budget

BESIDE = "esd"
NOTHING, PERMUTED = "nothing", "permuted vector"
BASELINES = (NOTHING, PERMUTED)
BUDGETS: tuple[Budget, ...] = ("quick", "standard")
MARK = "†"
BEATS = (
    "Does another beat the default? In brackets the upper bound of E, in points, and the lower "
    "bound of the worst class, in percent; who beats it is no worse in both and better in one."
)


def front(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that no other of their concept and budget beats in both ways.

    What is compared: the upper bound of E, and the lower bound of the worst class that was kept.
    """
    there = able(rows)
    return [
        row
        for row in there
        if not any(
            plots.beats(ends(other), ends(row))
            for other in there
            if (other["concept"], other["budget"]) == (row["concept"], row["budget"])
        )
    ]


def able(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that have what is compared."""
    return [row for row in rows if "excess" in row and "worst" in row]


def ends(row: Mapping[str, Any]) -> tuple[float, float]:
    """What a row is compared by: little excess, much kept."""
    return float(row["excess"][1]), float(row["worst"][1] or 0)


HEAD = (
    "concept", "method", "tried", "feasible", "verified", "plain words (upper bound)",
    "worst found: before / after / never shown", "E (upper bound)", "kept (lower bound)",
    "worst class (lower bound)", "neighbours", "KID", "seconds", "memory, GiB", "pictures",
    "weights", "hooks", "file, MB",
)  # fmt: skip


def cells(row: Mapping[str, Any], best: bool) -> list[str]:
    """A row of the table. best: no other beats it."""
    name, often = title(row["method"]), tried(row["method"])
    name = f"**{name}**" if best else name
    if "why" in row:
        return [row["concept"], name, often, str(row["why"]), *[""] * (len(HEAD) - 4)]
    if "infeasible" in row:
        name += MARK
    said = {True: "yes", False: "no", None: "–"}
    found = row.get("worst_found", {})
    arms = [found.get(arm) for arm in ("base", "edit", "oracle")]
    worst = _bounded(row.get("worst"))
    return [
        row["concept"], name, often, said[row.get("feasible")], said[row.get("verified")],
        _bounded(row["plain"]),
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


def tried(name: str) -> str:
    """Under how many settings a method was tried on each development concept."""
    if name in BASELINES:
        return "–"
    if name == DEFAULT:
        return f"{TRIED} on {len(HEALED_SEEDS)} seeds; its vector in {len(WAYS) + 1} ways"
    if name == PAPER:
        return "as the default's vector"
    return str(len(RIVALS.get(name, ())))


def beaten(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of one table: by concept, which rows beat the default in both ways, or that none does."""
    found = []
    for concept in dict.fromkeys(str(row["concept"]) for row in rows):
        own = [row for row in able(rows) if row["concept"] == concept]
        default = next((row for row in own if row["method"] == DEFAULT), None)
        if default is None:
            found.append(f"{concept}: the default has no figures that could be compared.")
            continue
        better = [row for row in own if plots.beats(ends(row), ends(default))]
        names = [f"{title(row['method'])} {_ends(row)}" for row in better]
        if names:
            found.append(
                f"**{concept}: the default {_ends(default)} is beaten by {', '.join(names)}.**"
            )
        else:
            found.append(
                f"{concept}: of {len(own) - 1} other rows none beats the default {_ends(default)}."
            )
    return found


def _ends(row: Mapping[str, Any]) -> str:
    upper, low = ends(row)
    return f"({100 * upper:.1f}; {100 * low:.1f})"


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    best = [id(row) for row in front(rows)]
    parts = [
        "# Methods\n\nEvery method on every concept of the embedded model, by `python "
        "benchmarks/methods.py`; shares in percent. *Tried*: under how many settings a method was "
        "tried on each of `cat` and `sketch`, on one seed where no more is said, before what won "
        "was frozen; 0: its paper's settings stand. The default was tried more often than any "
        "other ([experiments](experiments.md)). Every edit is made at the standard budget, "
        "under the frozen settings; what differs between the two tables is how hard it is looked "
        "at: every edit with the quick budget, and with the standard one the default, "
        f"{BESIDE.upper()} and what is in bold in the first. In bold: no other row of the concept "
        "and table has both a lower upper bound of E, the largest excess over a model that never "
        "saw the concept, and a higher lower bound of the worst class kept. Rows of two tables do "
        "not compare: the quick budget has fewer attacks.\n",
        settled(rows),
    ]
    for budget in BUDGETS:
        own = [row for row in rows if row["budget"] == budget]
        lines = [cells(row, id(row) in best) for row in own]
        parts.append(f"## {budget.capitalize()} budget\n")
        if own:
            said = "".join(f"- {one}\n" for one in beaten(own))
            parts += [f"![The front](figures/methods-{budget}.svg)\n", f"{BEATS}\n\n{said}"]
        parts.append(table(HEAD, lines))
    return "\n".join(parts)


def settled(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many of the edits whose strength was searched for are feasible and verified."""
    able = {(row["concept"], row["method"]): row for row in rows if row.get("feasible") is not None}
    feasible, verified = (sum(row[k] for row in able.values()) for k in ("feasible", "verified"))
    return (
        f"A strength was searched for in {len(able)} edits: {feasible} are feasible (one was found "
        f"that takes the concept out and keeps the rest), {verified} verified (an attack on fresh "
        f"seeds did not bring it back). {MARK}: none was found; the figures are those of the edit "
        "nearest to both. Costs are of the making alone, in a process of its own.\n"
    )


def fronts(
    rows: Sequence[Mapping[str, Any]], budget: str
) -> dict[str, dict[str, tuple[float, float]]]:
    """By concept, by method, what a front is drawn from: rows of one budget alone."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for row in able(rows):
        if row["budget"] == budget:
            found.setdefault(str(row["concept"]), {})[str(row["method"])] = ends(row)
    return found
