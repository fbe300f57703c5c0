"""The models of one evaluation, each as it stands or with an edit that comes and goes."""

from __future__ import annotations

from dataclasses import dataclass

from excise.primitives.standing import Standing
from excise.reporting.subject import Role

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
