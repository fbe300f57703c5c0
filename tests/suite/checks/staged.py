"""Evidence of evaluations in which one thing went wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from tests.reporting import factory
from tests.reporting.test_record import bare

from excise.primitives.panel import Sheet
from excise.primitives.probe import Look, Probe, Shot
from excise.suite.book import Book
from excise.suite.checks import Evidence
from excise.types import Prompt

ROLES = ("base", "edit", "oracle")
LABELS = {"base": "before", "edit": "after", "oracle": "never shown"}


def bench(*roles: str, **more: Any) -> Any:
    """Arms of these roles, by their role's name."""
    arms = {
        role: SimpleNamespace(key=role, role=role, label=LABELS[role], edit=None)
        for role in roles or ROLES
    }
    given = {"looks": {}, "jury": None, "plain": SimpleNamespace(), "diverged": {}, **more}
    return SimpleNamespace(arms=arms, role=arms.get, **given)


def evidence(own: Any = None, record: Any = None, **more: Any) -> Evidence:
    """All in order, but for what is given."""
    found = factory.record().record if record is None else record
    return Evidence(bench=own or bench(), book=more.pop("book", Book()), record=found, **more)


def empty() -> Any:
    """A report without figures."""
    return bare()


def look(values: torch.Tensor, thumbs: torch.Tensor | None = None) -> Look:
    """Pictures of dogs, and what a judge said of them."""
    n = len(values)
    shots = tuple(
        Shot(prompt=Prompt(f"a dog {i}"), seed=i, label="dog", group="dog") for i in range(n)
    )
    sheet = Sheet(
        judge="j", labels=("dog",), things=("dog",), values=values, thresholds={"dog": 0.5}
    )
    small = torch.zeros(n, 3, 4, 4) if thumbs is None else thumbs
    return Look(probe=Probe(shots=shots), sheet=sheet, thumbs=small)


def names(checks: Any) -> list[str]:
    """What was raised."""
    return [check.name for check in checks]
