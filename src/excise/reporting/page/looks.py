"""How the arms look in charts and legends, and figures as marks and table cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from excise.reporting.charts import Mark, Series
from excise.reporting.figures import Estimate, Rate
from excise.reporting.page.parts import Table
from excise.reporting.record import Record
from excise.reporting.wording import between, number, percent, tally

SHAPES = {"base": "square", "edit": "circle", "oracle": "diamond", "control": "bar"}
RIVALS = 4  # colours that the style sheet has


def arm_series(record: Record) -> tuple[Series, ...]:
    """A series for each arm: base, edit, oracle, then the others."""
    order = ("base", "edit", "oracle", "rival", "control")
    arms = sorted(record.arms, key=lambda arm: order.index(arm.role))
    found, others = [], 0
    for arm in arms:
        css = f"s-{arm.role}"
        shape = SHAPES.get(arm.role, "")
        if arm.role in ("rival", "control"):
            css = f"s-rival{others % RIVALS + 1}"
            shape = shape or ("up", "down")[others % 2]
            others += 1
        found.append(Series(key=arm.key, label=arm.label, css=css, shape=shape))
    return tuple(found)


def mark(figure: Rate | Estimate, name: str = "") -> Mark:
    """A figure as a mark, which tells a pointer its name, value, count and interval."""
    said = [percent(figure.value), between(figure)]
    if isinstance(figure, Rate):
        said.append(tally(figure))
    text = " · ".join(part for part in said if part)
    return Mark(
        value=figure.value,
        low=figure.low,
        high=figure.high,
        said=f"{name}: {text}" if name else text,
    )


def marks(figures: Mapping[str, Rate | Estimate], series: Sequence[Series]) -> dict[str, Mark]:
    """By arm."""
    return {one.key: mark(figures[one.key], one.label) for one in series if one.key in figures}


def without_bounds(found: Mapping[str, Mark]) -> dict[str, Mark]:
    """Marks to be drawn as bare bars; a pointer is still told the bounds."""
    return {name: replace(one, low=None, high=None) for name, one in found.items()}


def cell(figure: Rate | Estimate | None) -> str:
    """A figure in a table: "4 % (2.3 to 7.5 %), 10 of 240"."""
    if figure is None:
        return "–"
    span = between(figure)
    text = f"{percent(figure.value)} ({span})" if span else percent(figure.value)
    return f"{text}, {tally(figure)}" if isinstance(figure, Rate) else text


def plain_cell(figure: Estimate | None) -> str:
    """An estimate that is no share."""
    if figure is None:
        return "–"
    if figure.low is None or figure.high is None:
        return number(figure.value)
    return f"{number(figure.value)} ({number(figure.low)} to {number(figure.high)})"


def table(
    first: str,
    rows: Sequence[tuple[str, Mapping[str, Rate | Estimate]]],
    series: Sequence[Series],
    caption: str = "",
) -> Table:
    """Rows of figures, a column for each arm that has any."""
    used = [one for one in series if any(one.key in figures for _, figures in rows)]
    return Table(
        head=(first, *(one.label for one in used)),
        rows=tuple((name, *(cell(figures.get(one.key)) for one in used)) for name, figures in rows),
        caption=caption,
    )
