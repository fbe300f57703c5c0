"""How an edit came to be: enough to make it again, and to say what it is."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from excise import __version__
from excise.settings import recipe as settings_of
from excise.types import Concept

LIBRARIES = ("diffusers", "torch", "transformers")


def versions() -> dict[str, str]:
    """Those of Excise and of the libraries that results depend on, without importing them."""
    return {"excise": __version__, **{name: _installed(name) for name in LIBRARIES}}


@cache  # looks through the folders of installed packages, which takes milliseconds
def _installed(name: str) -> str:
    return importlib.metadata.version(name)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Where an edit comes from.

    method: name of the eraser, or of the operation (``add``, ``scale``, ...) on `parts`.
    settings: its hyperparameters, or the operation's arguments, as JSON values.
    concepts: what was to go, each as ``Concept.to_json`` gives it.
    verified: a judge has seen that the concept is gone. An edit made of edits is not, until one
        looks again.
    parts: the recipes of the edits that this one was made of.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    concepts: tuple[Mapping[str, Any], ...] = ()
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=versions)
    verified: bool = False
    parts: tuple[Recipe, ...] = ()

    @staticmethod
    def of(
        method: Any, concepts: Sequence[Concept] = (), *, seed: int | None, verified: bool = False
    ) -> Recipe:
        """That of a registered method, a frozen dataclass with a ``name``."""
        return Recipe(
            method=str(getattr(type(method), "name", type(method).__name__)),
            settings=settings_of(method),
            concepts=tuple(concept.to_json() for concept in concepts),
            seed=seed,
            verified=verified,
        )

    @property
    def concept_names(self) -> tuple[str, ...]:
        """The names of the concepts, its own and its parts', each once."""
        names = [str(concept["name"]) for concept in self.concepts]
        names += [name for part in self.parts for name in part.concept_names]
        return tuple(dict.fromkeys(names))

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "method": self.method,
            "settings": dict(self.settings),
            "concepts": [dict(concept) for concept in self.concepts],
            "seed": self.seed,
            "versions": dict(self.versions),
            "verified": self.verified,
            "parts": [part.to_json() for part in self.parts],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Recipe:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
        return Recipe(
            method=str(data["method"]),
            settings=dict(data["settings"]),
            concepts=tuple(dict(concept) for concept in data["concepts"]),
            seed=None if data["seed"] is None else int(data["seed"]),
            versions={str(name): str(value) for name, value in dict(data["versions"]).items()},
            verified=bool(data["verified"]),
            parts=tuple(Recipe.from_json(part) for part in data["parts"]),
        )
