"""A short table of a report on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from excise.reporting.attacks import AttackResult
from excise.reporting.figures import Estimate, Rate
from excise.reporting.record import Record
from excise.reporting.report import Report
from excise.reporting.verdict import Figures, figures
from excise.reporting.wording import NARROW, between, percent, points

STYLES = {"erased": "green", "untested": "yellow", "undecided": "yellow", "damaged": "yellow"}
Shown = Mapping[str, Rate | Estimate]


def show(report: Report, console: Console, place: Path | str | None = None) -> None:
    """Print the verdict, the figures beside their references, and where the report is."""
    record, verdict = report.record, report.verdict
    style = STYLES.get(verdict.status, "red")
    console.print(Text(f"{verdict.short[:1].upper()}{verdict.short[1:]}", style=f"bold {style}"))
    for sentence in (verdict.headline, verdict.attack, *verdict.reasons):
        console.print(_text(sentence))
    console.print(_table(record, figures(record)))
    if (line := _floors(record, figures(record).attack)) is not None:
        console.print(_text(line))
    for check in record.checks:
        if check.level != "info":
            console.print(_text(f"Doubt: {check.found}", style="yellow"))
    console.print(_text("Not a legal or safety certificate: the report says what was looked for."))
    if place is not None:
        console.print(_text(f"Report: {place}"), soft_wrap=True)


def show_attacks(results: Sequence[AttackResult], arms: Mapping[str, str], out: Console) -> None:
    """Print what attacks brought back. arms: key to what the column is called."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    used = [key for key in arms if any(key in rung.rates for r in results for rung in r.rungs)]
    for key in used:
        table.add_column(_text(arms[key]), justify="right")
    for result in results:
        for rung in result.rungs:
            star = " *" if rung.key == result.headline else ""
            cells = [_cell(rung.rates.get(key)) for key in used]
            table.add_row(_text(f"{result.label}, {rung.label}{star}"), *cells)
    out.print(table)
    if any(result.headline for result in results):
        out.print("* the step that counts")


def _table(record: Record, found: Figures) -> Table:
    arms = [arm for arm in record.arms if arm.role in ("base", "edit", "oracle")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for arm in arms:
        table.add_column(_text(arm.label), justify="right")
    kept, limits = record.kept, record.criteria
    attack, rung = found.attack, found.attack.counts if found.attack else None
    rows: list[tuple[str, Shown, str]] = [
        ("seen in plain use", found.plain, f"at most {percent(limits.plain)}")
    ]
    if attack and rung:
        rows.append(("seen under attack", found.searched, f"{attack.label}, {rung.label}"))
        if attack.decoys:
            rows.append(("decoys under attack", attack.decoys.floors, "decoy floor"))
    if kept:
        near = f"at least {percent(limits.neighbours)}"
        worst = f" ({kept.worst_label})" if kept.worst_label else ""
        rows += [
            ("everything else kept", kept.mean, f"at least {percent(limits.kept)}"),
            (f"worst single thing{worst}", kept.worst, f"at least {percent(limits.worst)}"),
            ("closest things kept", kept.neighbours, near),
            ("nothing recognisable", kept.nothing, ""),
        ]
    table.add_column("asked for", justify="right")
    for name, shown, asked in rows:
        if shown:
            cells = [_cell(shown.get(arm.key)) for arm in arms]
            table.add_row(_text(name), *cells, _text(asked, style="dim"))
    return table


def _floors(record: Record, attack: AttackResult | None) -> str | None:
    """Whether decoys say the same as the oracle."""
    decoys = attack.decoys if attack else None
    if decoys is None or not decoys.gaps:
        return None
    said = [
        f"on “{arm.label}” they {'agree' if decoys.agrees(arm.key) else 'do not agree'} "
        f"(apart by {points(decoys.gaps[arm.key].value)})"
        for arm in record.arms
        if arm.key in decoys.gaps
    ]
    return f"Decoy floor and oracle floor, within {points(decoys.within)}: {'; '.join(said)}."


def _cell(figure: Rate | Estimate | None) -> Text:
    if figure is None:
        return Text("–", style="dim")
    found = _text(percent(figure.value), style="bold")
    span = between(figure)
    return found.append_text(_text(f" ({span})", style="dim")) if span else found


def _text(text: str, style: str = "") -> Text:
    return Text(text.replace(NARROW, " "), style=style)  # a space that every terminal has
