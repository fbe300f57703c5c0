"""The models of one evaluation, each as it stands or with an edit that comes and goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from excise.reporting.subject import Role
from excise.types import EditLike, TextToImage

SHARED: frozenset[Role] = frozenset({"base", "oracle"})
"""Roles whose results other evaluations need too, and that are kept between runs."""

__all__ = ["SHARED", "Arm", "Role"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Arm:
    """A model that is looked at.

    key: what figures are filed under. role: what it stands for; "edit" is the one in question.
    """

    key: str
    label: str
    role: Role
    model: TextToImage
    edit: EditLike | None = None
    note: str = ""

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
