"""The models of one evaluation, each as it stands or with an edit that comes and goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from excise.errors import NumericalError
from excise.primitives.standing import Standing
from excise.reporting.subject import Role
from excise.types import TextToImage

SHARED: frozenset[Role] = frozenset({"base", "oracle"})
"""Roles whose results other evaluations need too, and that are kept between runs."""

__all__ = ["SHARED", "Arm", "Role"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Arm(Standing):
    """A model that is looked at, and what it is called.

    key: what figures are filed under. role: what it stands for; "edit" is the one in question.
    """

    key: str
    label: str
    role: Role
    note: str = ""

    @contextmanager
    def live(self) -> Iterator[TextToImage]:
        """The model, with the edit until the context ends; a NumericalError names it."""
        try:
            with super().live() as model:
                yield model
        except NumericalError as error:
            raise NumericalError(f"on “{self.label}”: {error}") from error
