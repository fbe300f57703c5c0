"""Methods as tables list and name them: one stands there under settings of its own besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study import Trial

from excise import registry

DEFAULT, PAPER = "task_vector", "task_vector_paper"
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {PAPER: (DEFAULT, {"variant": "paper"})}
"""By the name in a table, the method and its settings; any other name is a method's own."""
TITLES = {DEFAULT: "task vector, healed", PAPER: "task vector (paper's)"}


def title(name: str) -> str:
    """What a table calls it. The default is healed, which no task vector alone is."""
    return TITLES.get(name, name.replace("_", " "))


def trial_of(concept: str, name: str, seed: int = 0) -> Trial:
    """One edit of it, under its settings."""
    method, settings = VARIANTS.get(name, (name, {}))
    return Trial(concept=concept, method=method, settings=settings, seed=seed)


def given(name: str) -> frozenset[str]:
    """What a concept may be given by: words, pictures."""
    method, _ = VARIANTS.get(name, (name, {}))
    found: frozenset[str] = registry.get("eraser", method).given
    return found
