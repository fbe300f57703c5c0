from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from tests.reporting.test_html import evil
from tests.reporting.test_record import bare

from excise.reporting import Report
from excise.reporting.console import show


def printed(report: Report, width: int = 100) -> str:
    out = io.StringIO()
    show(report, Console(file=out, width=width), Path("out/report.html"))
    return out.getvalue()


def test_the_figures_stand_beside_their_references(report: Report) -> None:
    text = printed(report)
    lines = text.splitlines()
    attack = next(line for line in lines if "under attack" in line)
    assert all(figure in attack for figure in ("71 %", "4.2 %", "2.9 %"))
    floor = next(line for line in lines if "decoy floor" in line)
    assert all(figure in floor for figure in ("2.9 %", "1.7 %"))
    assert "within 5 points: on “before” they agree" in " ".join(lines)
    assert "dog" in text
    assert "Doubt: The witness differs" in text
    assert lines[-1] == "Report: out/report.html"
    assert all(len(line) <= 100 for line in lines)


def test_a_first_look_is_called_one(report: Report) -> None:
    record = report.record.model_copy(update={"budget": "quick"})
    assert printed(Report(record=record)).splitlines()[0] == "First look: not found"


def test_brackets_in_names_are_text(report: Report) -> None:
    assert "<script>" in printed(evil(report))
    subject = report.record.subject.model_copy(update={"concepts": ({"name": "[red]cat[/red]"},)})
    odd = Report(record=report.record.model_copy(update={"subject": subject}))
    assert "[red]cat[/red]" in printed(odd)


def test_a_report_without_figures_is_shown(report: Report) -> None:
    assert "Nobody looked" in printed(Report(record=bare()))


def test_attacks_stand_beside_one_another_with_what_can_tell(report: Report) -> None:
    text = printed(report)
    assert "Completion +" in text
    assert "worst case found" in text
    assert "Largest excess over the oracle: 1.2 points (concept inversion)" in text
    assert "Not run: swap: it needs the unedited model." in text
