"""A run of an eraser in which its steps can be looked at one by one."""

from __future__ import annotations

from typing import Any

from excise.erasers.base import Work
from excise.progress import SILENT
from excise.store import Stages
from excise.types import Concept, TextToImage


def work_on(model: TextToImage, *concepts: Concept, stages: Stages | None = None) -> Work:
    """What an eraser is given, with seed 0."""
    key: Any = [concept.to_json() for concept in concepts]
    return Work(
        model=model,
        concepts=concepts,
        seed=0,
        judge=None,
        progress=SILENT,
        stages=stages,
        key=key,
    )
