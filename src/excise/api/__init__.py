"""What a program calls: load, erase, attack, evaluate, and what is done with an edit afterwards.

The only place that joins a judge to a model.
"""

from excise.api.attacking import attack, estimate_attack
from excise.api.concepts import concept_of, read_concept
from excise.api.erasing import erase
from excise.api.evaluating import estimate, evaluate, report
from excise.api.judging import Judges, judges_for
from excise.api.loading import load
from excise.api.using import apply, export, generate, info, merge

__all__ = [
    "Judges",
    "apply",
    "attack",
    "concept_of",
    "erase",
    "estimate",
    "estimate_attack",
    "evaluate",
    "export",
    "generate",
    "info",
    "judges_for",
    "load",
    "merge",
    "read_concept",
    "report",
]
