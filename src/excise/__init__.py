"""Excise removes a concept from a generative model, attacks the result, and says what it cost.

Public names are loaded when they are first used, so that ``import excise`` and ``excise --help``
do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker reads; tests hold it equal to the map below
    from excise.api import apply as apply
    from excise.api import attack as attack
    from excise.api import erase as erase
    from excise.api import estimate as estimate
    from excise.api import evaluate as evaluate
    from excise.api import export as export
    from excise.api import generate as generate
    from excise.api import info as info
    from excise.api import load as load
    from excise.api import merge as merge
    from excise.api import report as report
    from excise.edit import Edit as Edit
    from excise.errors import ExciseError as ExciseError
    from excise.errors import Infeasible as Infeasible
    from excise.errors import UserError as UserError
    from excise.reporting import Report as Report
    from excise.types import Concept as Concept
    from excise.types import Prompt as Prompt
    from excise.types import Request as Request
    from excise.types import Samples as Samples
    from excise.types import Score as Score
    from excise.types import TextToImage as TextToImage

__version__ = "0.1.0"

_HOME = {
    "Concept": "excise.types",
    "Edit": "excise.edit",
    "ExciseError": "excise.errors",
    "Infeasible": "excise.errors",
    "Prompt": "excise.types",
    "Report": "excise.reporting",
    "Request": "excise.types",
    "Samples": "excise.types",
    "Score": "excise.types",
    "TextToImage": "excise.types",
    "UserError": "excise.errors",
    "apply": "excise.api",
    "attack": "excise.api",
    "erase": "excise.api",
    "estimate": "excise.api",
    "evaluate": "excise.api",
    "export": "excise.api",
    "generate": "excise.api",
    "info": "excise.api",
    "load": "excise.api",
    "merge": "excise.api",
    "report": "excise.api",
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'excise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
