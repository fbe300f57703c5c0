"""Edits added, scaled and masked.

Deltas are vectors. Hooks are not: a sum has the hooks of both, in order; scaling needs hooks that
say how (`Scalable`); masks, which are about weights, leave them alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from excise.edit.base import HALVES, Base, BaseTensor, positions
from excise.edit.encodings import FLOATS, Dense, Encoded, added
from excise.edit.recipe import Recipe
from excise.errors import NumericalError, UserError, WrongBase, unknown
from excise.store import hash_tensors
from excise.types import Hook

if TYPE_CHECKING:
    from excise.edit.value import Edit

Groups = Mapping[str, Sequence[str]]


@runtime_checkable
class Scalable(Protocol):
    """A hook with a strength: two of them at half of it, one within the other, act as one."""

    def scaled(self, factor: float) -> Hook:
        """The same hook at ``factor`` times its strength."""


def one(edit: Edit, name: str) -> Encoded:
    """The delta of a weight. Raises UnknownName if the edit has none."""
    if name not in edit.deltas:
        raise unknown("delta in this edit", name, edit.deltas)
    return edit.deltas[name]


def add(a: Edit, b: Edit) -> Edit:
    """Both at once: deltas added, the hooks of ``a`` within those of ``b``.

    Raises:
        WrongBase: they are edits of different models.
    """
    return _joined(a, b, a.base.merged(b.base), "add")


def then(a: Edit, b: Edit) -> Edit:
    """``a``, then ``b``, which was made with ``a`` applied; see `Edit.then`."""
    wrong = [
        name
        for name, record in b.base.records.items()
        if name in a.deltas and not _follows(a.base.tensors[name], a.deltas[name], record)
    ]
    if wrong:
        raise WrongBase(
            f"expected an edit that was made with the first one applied, but {min(wrong)} was "
            f"something else in {b.base.name!r}; if both were made for the same model, use a + b"
        )
    # What a has touched is recorded as it was before a; the rest, b saw as it was.
    base = replace(
        a.base,
        tensors={**b.base.tensors, **a.base.tensors},
        read={
            **{name: a.base.records.get(name, record) for name, record in b.base.read.items()},
            **a.base.read,
        },
    )
    return _joined(a, b, base, "then")


def scale(edit: Edit, factor: float) -> Edit:
    """``factor`` times the deltas, and hooks at ``factor`` times their strength.

    Raises:
        UserError: a hook has no strength, or the factor is not finite.
    """
    _finite(factor)
    fixed = [type(hook).__name__ for hook in edit.hooks if not isinstance(hook, Scalable)]
    if fixed:
        raise UserError(
            f"expected hooks with a strength to scale, got {', '.join(fixed)}; scale "
            "edit.task_vector(), or give the hook a method scaled(factor)"
        )
    return replace(
        edit,
        deltas={name: delta.scaled(factor) for name, delta in edit.deltas.items()},
        hooks=tuple(hook.scaled(factor) for hook in edit.hooks if isinstance(hook, Scalable)),
        recipe=_made("scale", {"factor": float(factor)}, edit),
    )


def scaled(edit: Edit, factors: Mapping[str, float], groups: Groups) -> Edit:
    """Deltas times factors of their own; see `Edit.scaled`."""
    total = dict.fromkeys(edit.deltas, 1.0)
    for pattern, factor in factors.items():
        _finite(factor)
        for name in _meant(pattern, edit.deltas, groups, strict=pattern not in groups):
            total[name] *= factor
    deltas = {
        name: delta if total[name] == 1 else delta.scaled(total[name])
        for name, delta in edit.deltas.items()
    }
    settings = {"factors": {name: float(factor) for name, factor in factors.items()}}
    return replace(edit, deltas=deltas, recipe=_made("scale", settings, edit))


def masked(edit: Edit, where: str | Sequence[str] | Mapping[str, Tensor], groups: Groups) -> Edit:
    """Part of the deltas; see `Edit.masked`."""
    if isinstance(where, Mapping):
        deltas: dict[str, Encoded] = {
            name: Dense(delta.dense() * _mask(name, where[name], delta.shape))
            for name, delta in edit.deltas.items()
            if name in where
        }
        settings: dict[str, Any] = {"masks": hash_tensors(where)}
    else:
        patterns = [where] if isinstance(where, str) else list(where)
        taken = [p for p in patterns if not p.startswith("!")]
        keep = set() if taken else set(edit.deltas)
        for pattern in taken:
            keep |= _meant(pattern, edit.deltas, groups, strict=len(taken) == 1)
        for pattern in patterns:
            if pattern.startswith("!"):
                keep -= _meant(pattern[1:], edit.deltas, groups, strict=False)
        deltas = {name: delta for name, delta in edit.deltas.items() if name in keep}
        settings = {"where": patterns}
    if edit.deltas and not deltas:
        raise unknown("delta in this edit", str(next(iter(where), "")), edit.deltas)
    return replace(edit, deltas=deltas, recipe=_made("mask", settings, edit))


def stored(edit: Edit, dtype: torch.dtype) -> Edit:
    """Rounded; see `Edit.stored`."""
    if dtype not in FLOATS:
        raise UserError(f"expected a type to keep deltas in among {FLOATS}, got {dtype}")
    deltas = {name: delta.stored(dtype) for name, delta in edit.deltas.items()}
    for name, delta in deltas.items():
        if not delta.finite:
            raise NumericalError(
                f"the delta of {name} is too large for {dtype}; keep the edit in float32"
            )
    return replace(edit, deltas=deltas)


def norms(edit: Edit) -> dict[str, float]:
    """Frobenius norms, summed in float64."""
    return {name: float(d.dense().double().norm()) for name, d in edit.deltas.items()}


def cosine(a: Edit, b: Edit) -> float:
    """<a, b> / (|a| |b|) over all deltas as one vector; 0 where one of them is empty."""
    dot = sum(
        float((a.deltas[name].dense().double() * b.deltas[name].dense().double()).sum())
        for name in a.deltas
        if name in b.deltas
    )
    size = math.hypot(*norms(a).values()) * math.hypot(*norms(b).values())
    return dot / size if size else 0.0


def _joined(a: Edit, b: Edit, base: Base, method: str) -> Edit:
    deltas = dict(a.deltas)
    for name, delta in b.deltas.items():
        deltas[name] = added(deltas[name], delta) if name in deltas else delta
    recipe = _made(method, {}, a, b)
    return replace(a, deltas=deltas, hooks=a.hooks + b.hooks, recipe=recipe, base=base)


def _made(method: str, settings: Mapping[str, Any], *edits: Edit) -> Recipe:
    return Recipe(method=method, settings=settings, parts=tuple(edit.recipe for edit in edits))


def _follows(before: BaseTensor, delta: Encoded, after: BaseTensor) -> bool:
    """Is ``after`` the base with the delta on it, as far as the samples say?

    Within the last bits, since sums of three are not associative, or the model's own precision.
    """
    n = math.prod(before.shape)
    change = delta.dense().reshape(-1)[positions(n)].tolist()  # shape -> (n,) -> (samples,)
    eps = max([torch.finfo(HALVES[half]).eps for half in after.halves], default=2.0**-20)
    return before.shape == after.shape and all(
        abs(x + d - y) <= eps * max(abs(x), abs(d), abs(y))
        for x, d, y in zip(before.samples, change, after.samples, strict=True)
    )


def _meant(pattern: str, names: Collection[str], groups: Groups, *, strict: bool) -> set[str]:
    """The names that a group, component, name or glob means; strict: at least one."""
    if pattern in groups:
        found = set(groups[pattern]) & set(names)
    else:
        found = {n for n in names if fnmatchcase(n, pattern) or n.startswith(pattern + ".")}
    if strict and not found:
        components = {name.split(".", 1)[0] for name in names}
        raise unknown("delta in this edit", pattern, {*names, *components, *groups})
    return found


def _mask(name: str, mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    plain = mask.detach().to("cpu", torch.float32)
    try:
        return plain.expand(shape)
    except RuntimeError as error:
        raise UserError(
            f"expected a mask for {name} that broadcasts to {shape}, got {tuple(mask.shape)}"
        ) from error


def _finite(factor: float) -> None:
    if not math.isfinite(factor):
        raise UserError(f"expected a finite factor, got {factor}")
