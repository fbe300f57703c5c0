"""A model that is looked at: as it stands, or with an edit that comes and goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from excise.types import EditLike, TextToImage


@dataclass(frozen=True, eq=False, kw_only=True)
class Standing:
    """One of the models that are compared."""

    model: TextToImage
    edit: EditLike | None = None

    @contextmanager
    def live(self) -> Iterator[TextToImage]:
        """The model, with the edit until the context ends."""
        if self.edit is None:
            yield self.model
            return
        with self.edit.applied(self.model):
            yield self.model

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What its pictures depend on, as JSON values; not what it is called."""
        return {
            "weights": self.model.fingerprint(),
            "precision": self.model.precision,
            "edits": list(self.model.edits),
            "edit": None if self.edit is None else self.edit.digest,
        }
