"""A short table of a report on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from excise.reporting.attacks import AttackResult
from excise.reporting.figures import Estimate, Rate
from excise.reporting.record import Record
from excise.reporting.report import Report
from excise.reporting.unanimity import beside_excess
from excise.reporting.verdict import Figures, figures
from excise.reporting.wording import NARROW, between, percent, points

STYLES = {"erased": "green", "untested": "yellow", "undecided": "yellow", "damaged": "yellow",
          "cannot_tell": "yellow",
          "unkept": "green", "not_found": "yellow", "not_found_damaged": "yellow",
          "not_found_untested": "yellow", "not_found_unkept": "yellow"}  # fmt: skip
OVER = {"oracle": "the oracle", "decoys": "the decoys", "stated": "the stated floor"}
Shown = Mapping[str, Rate | Estimate]


def show(report: Report, console: Console, place: Path | str | None = None) -> None:
    """Print the verdict, the figures beside their references, and where the report is."""
    record, verdict = report.record, report.verdict
    style = STYLES.get(verdict.status, "red")
    console.print(Text(f"{verdict.short[:1].upper()}{verdict.short[1:]}", style=f"bold {style}"))
    for sentence in (verdict.headline, verdict.attack, *verdict.reasons):
        console.print(_text(sentence))
    console.print(_table(record, figures(record)))
    if len(record.attacks) > 1:
        _attacks(record, console)
    if (line := _floors(record, figures(record).attack)) is not None:
        console.print(_text(line))
    for check in record.checks:
        if check.level != "info":
            console.print(_text(f"Doubt: {check.found}", style="yellow"))
    console.print(_text("Not a legal or safety certificate: the report says what was looked for."))
    if place is not None:
        console.print(_text(f"Report: {place}"), soft_wrap=True)


def _attacks(record: Record, out: Console) -> None:
    """What each attack brought back, those that can tell recovery from injection first."""
    arms = [arm for arm in record.arms if any(arm.key in a.rates for a in record.attacks)]
    edit = record.arm("edit")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("seen under attack", no_wrap=True)
    for arm in arms:
        table.add_column(_text(arm.label), justify="right")
    if referred := any(one.excess for one in record.attacks):
        table.add_column("excess", justify="right")
    order = sorted(record.attacks, key=lambda a: (not a.confirmatory, a.kind != "confirming"))
    for attack in (one for one in order if one.rates):
        cells = [_cell(attack.rates.get(arm.key)) for arm in arms]
        excess = attack.excess.get(edit.key) if edit else None
        mark = " *" if attack.confirmatory else " +" if attack.kind == "injecting" else ""
        gap = "" if excess is None else points(excess.value)
        last = [_text(gap, style="dim")] if referred else []
        table.add_row(_text(f"{attack.label}{mark}"), *cells, *last)
    if record.worst_found is not None:
        cells = [_cell(record.worst_found.rates.get(arm.key)) for arm in arms]
        table.add_row(_text("worst case found", style="bold"), *cells)
    out.print(table)
    if any(one.confirmatory for one in record.attacks):
        out.print(_text("* can tell recovery from injection", style="dim"))
    if any(one.kind == "injecting" for one in record.attacks):
        out.print(_text("+ may bring the concept along, and so cannot", style="dim"))
    if record.excess is not None:
        one = record.excess
        out.print(
            _text(
                f"Largest excess over {OVER[one.over]}: {points(one.value)} "
                f"({one.attack.replace('_', ' ')}), at most {points(one.upper)} for all of them."
            )
        )
        for line in beside_excess(record):
            out.print(_text(line, style="dim"))
    for name, why in record.left_out.items():
        out.print(_text(f"Not run: {name.replace('_', ' ')}: {why}.", style="dim"))


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
