"""An edit is a value: deltas on named weights, hooks, and how it came to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from excise.edit import algebra
from excise.edit.algebra import Groups
from excise.edit.base import Base, BaseMatch
from excise.edit.encodings import Decoded, Encoded, own, smallest
from excise.edit.making import Making
from excise.edit.packing import holds_tensors, pack
from excise.edit.recipe import Recipe
from excise.errors import NumericalError, UserError, WrongBase
from excise.store import hash_json, hash_tensors
from excise.types import Hook, Selector

if TYPE_CHECKING:
    from excise.types import TextToImage

Kind = Literal["task_vector", "guard", "edit"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Edit:
    """What a method answers: a change of a model that can be kept, combined, applied and undone.

    Edits of one model are a vector space: ``a + b``, ``a - b``, ``-a``, ``0.5 * a``. Two edits are
    equal if they do the same; what they are called, and how they came to be, does not count.

    deltas: by canonical name, added to a weight; the smallest exact encoding, zeros left out.
    hooks: what is changed while drawing, the first innermost.
    base: the weights that the deltas are for and those that hooks' tensors were fitted to, as they
        were.
    """

    deltas: Mapping[str, Encoded] = field(default_factory=dict)
    hooks: tuple[Hook, ...] = ()
    recipe: Recipe
    base: Base = field(default_factory=Base)
    # Not part of the value, nor of an edit that is made from this one: which weights were hashed
    # and found right, by their checksum; how it was found; the file that it was read from.
    _seen: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _making: Making | None = field(default=None, init=False, repr=False)
    _file: Path | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[str, Encoded] = {}
        for name, delta in self.deltas.items():
            record = self.base.tensors.get(name)
            if record is None or record.shape != delta.shape:
                raise UserError(
                    f"expected the base's record of {name} with shape {delta.shape}, got "
                    f"{None if record is None else record.shape}; make edits with Edit.of"
                )
            if not delta.finite:
                raise NumericalError(
                    f"expected finite numbers in the delta of {name}, got infinity or NaN; "
                    "try a smaller learning rate or strength"
                )
            if (kept := smallest(delta)) is not None:
                found[name] = kept
        touched = {name: self.base.tensors[name] for name in found}
        read = self.base.read if any(holds_tensors(hook) for hook in self.hooks) else {}
        object.__setattr__(self, "deltas", MappingProxyType(found))
        object.__setattr__(self, "hooks", tuple(self.hooks))
        object.__setattr__(self, "base", replace(self.base, tensors=touched, read=read))

    @staticmethod
    def of(
        model: TextToImage,
        deltas: Mapping[str, Tensor | Encoded] | None = None,
        hooks: Sequence[Hook] = (),
        *,
        recipe: Recipe,
    ) -> Edit:
        """An edit of a model as it is now, other applied edits included.

        deltas: by canonical name, each of its weight's shape; copied, to float32 on the CPU.

        Raises:
            WrongBase: the model has no such weight, or one of another shape.
            NumericalError: a delta is not finite.
        """
        given, copies = deltas or {}, dict[int, Tensor]()
        kept = {name: own(delta, copies) for name, delta in given.items()}
        base = Base.of(model, {name: delta.shape for name, delta in kept.items()}, hooks)
        return Edit(deltas=kept, hooks=tuple(hooks), recipe=recipe, base=base)

    @staticmethod
    def from_weights(
        base: Mapping[str, Tensor],
        edited: Mapping[str, Tensor],
        *,
        name: str = "",
        family: str = "",
        recipe: Recipe | None = None,
    ) -> Edit:
        """The difference of two sets of weights under the same canonical names.

        A tensor that differs by a rounding to half precision alone counts as unchanged.
        name, family: those of the base. Raises UserError where names or shapes differ.
        """
        from excise.edit.bake import from_weights

        return from_weights(base, edited, name=name, family=family, recipe=recipe)

    @staticmethod
    def between(base: TextToImage, edited: TextToImage, selector: Selector = "*") -> Edit:
        """The difference of two models: somebody else's fine-tuned model as an edit of its base.

        selector: which weights to compare. Raises UserError as `from_weights`, and where the
            families differ.
        """
        from excise.edit.bake import between

        return between(base, edited, selector)

    @property
    def kind(self) -> Kind:
        """``task_vector`` with deltas alone, ``guard`` with hooks alone, else ``edit``."""
        if not self.hooks:
            return "task_vector"
        return "edit" if self.deltas else "guard"

    @property
    def making(self) -> Making | None:
        """How it was found; None for what was combined or changed since, or lost its record.

        Raises:
            BadFile: the record beside its file is damaged.
        """
        if self._making is None and self._file is not None:
            return Making.beside(self._file)
        return self._making

    def made(self, making: Making) -> Edit:
        """The same edit, which knows how it was found and keeps that beside its file."""
        found = copy(self)
        object.__setattr__(found, "_making", making)
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what it does: deltas and hooks, as they are kept."""
        hooks = [pack(hook) for hook in self.hooks]
        tensors = {f"{n}#{s}": part for n, d in self.deltas.items() for s, part in d.parts.items()}
        tensors |= {f"hook/{i}/{n}": t for i, h in enumerate(hooks) for n, t in h.tensors.items()}
        return hash_json(
            {
                "hooks": [hook.to_json() for hook in hooks],
                "shapes": {name: list(delta.shape) for name, delta in self.deltas.items()},
                "tensors": hash_tensors(tensors),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edit) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        hooks = ", ".join(pack(hook).name for hook in self.hooks) or "no hooks"
        return f"<Edit by {self.recipe.method}: {len(self.deltas)} deltas, {hooks}>"

    # What is in it.

    def dense(self, name: str) -> Tensor:
        """One delta in float32, in the shape of its weight. Raises UnknownName if it has none."""
        return algebra.one(self, name).dense()

    def norm(self) -> dict[str, float]:
        """The Frobenius norm of each delta, by canonical name."""
        return algebra.norms(self)

    def cosine(self, other: Edit) -> float:
        """The cosine of the angle between the deltas of two edits; 0 if one has none."""
        return algebra.cosine(self, other)

    @property
    def nbytes(self) -> int:
        """Bytes that its tensors, those of the deltas and of the hooks, take up in a file."""
        hooks = sum(value.nbytes for hook in self.hooks for value in pack(hook).tensors.values())
        return hooks + sum(delta.nbytes for delta in self.deltas.values())

    # Algebra; see `excise.edit.algebra` for what it does to hooks.

    def __add__(self, other: Edit) -> Edit:
        return algebra.add(self, other)

    def __sub__(self, other: Edit) -> Edit:
        return self + -other

    def __neg__(self) -> Edit:
        return algebra.scale(self, -1.0)

    def __mul__(self, factor: float) -> Edit:
        return algebra.scale(self, factor)

    __rmul__ = __mul__

    def then(self, other: Edit) -> Edit:
        """This edit, then one that was made with it applied, as one. Raises WrongBase."""
        return algebra.then(self, other)

    def masked(
        self, where: str | Sequence[str] | Mapping[str, Tensor], groups: Groups | None = None
    ) -> Edit:
        """Part of the deltas, and all of the hooks.

        where: names, globs (``unet.*attn2*``), components, names of `groups`; those that start
            with ``!`` are taken out. Or masks by name, which deltas are multiplied by; deltas
            without a mask go.
        groups: names of weights by name, such as ``model.blocks()``.

        Raises:
            UnknownName: nothing of the edit is meant by `where`.
        """
        return algebra.masked(self, where, groups or {})

    def scaled(self, factors: Mapping[str, float], groups: Groups | None = None) -> Edit:
        """Deltas times a factor of their own; hooks, and deltas that are not named, as they are.

        factors: by name, glob, component or name of `groups`; a delta that several of them mean
            is multiplied by all of these.
        """
        return algebra.scaled(self, factors, groups or {})

    def task_vector(self) -> Edit:
        """The deltas without the hooks."""
        return replace(self, hooks=())

    def guard(self) -> Edit:
        """The hooks without the deltas."""
        return replace(self, deltas={})

    def stored(self, dtype: torch.dtype) -> Edit:
        """With its deltas rounded to ``torch.float16``, for a file of half the size; or float32.

        Raises:
            UserError: for another type. NumericalError: a delta is too large for it.
        """
        return algebra.stored(self, dtype)

    # Use.

    def check(self, model: TextToImage, *, transfer: bool = False) -> BaseMatch:
        """How the model's weights compare to those that the edit was made for.

        Those are the weights that it changes, and those that the tensors of its hooks were fitted
        to. A guard without tensors has none: any model of the family will do (``UNBOUND``).

        transfer: accept other values, as in a fine-tune of the base, where the shapes agree.

        Raises:
            WrongBase: they are others.
        """
        if self.base.family and model.family != self.base.family and not transfer:
            raise WrongBase(
                f"expected a model of the family {self.base.family!r}, for which the edit was "
                f"made, got {model.name!r} of {model.family!r}; make an edit for this model, or "
                "ask for transfer"
            )
        live = model.parameters("*") if self.base.records else {}
        return self.base.check(model.name, live, transfer=transfer, seen=self._seen)

    @contextmanager
    def applied(self, model: TextToImage, *, transfer: bool = False) -> Iterator[BaseMatch]:
        """The model with the edit, until the context ends; yields what `check` found."""
        match = self.check(model, transfer=transfer)
        with ExitStack() as stack:
            if self.deltas:
                stack.enter_context(model.swapped(Decoded(self.deltas), key=self.digest))
            if self.hooks:
                stack.enter_context(model.hooked(self.hooks, key=self.digest))
            yield match

    # Files.

    def save(self, path: Path | str) -> None:
        """Write ``NAME.safetensors``, whole or not at all; the same edit gives the same bytes.

        Of one that was just made the record is written too, as ``NAME.record`` beside it: reports
        need it, and it must not be handed on with the edit. One that was read from a file, or made
        from others, leaves none.

        Raises:
            UserError: a hook is not registered. BadFile: another suffix. As `save_tensors`.
        """
        from excise.edit.file import save

        save(self, Path(path))

    @staticmethod
    def load(path: Path | str) -> Edit:
        """Read what `save` wrote.

        Raises:
            BadFile: missing, damaged, of another format or version.
            UnknownName: it has a hook that is not installed.
        """
        from excise.edit.file import load

        found = load(Path(path))
        object.__setattr__(found, "_file", Path(path))
        return found

    def bake(self, model: TextToImage, folder: Path | str, *, transfer: bool = False) -> BaseMatch:
        """Write the whole model with the edit in its weights, to a new folder that diffusers loads.

        Deltas are added in float32, then rounded to the model's own precision.

        Raises:
            Unsupported: it has hooks. As `check`. BadFile, ResourceError: it cannot be written.
        """
        from excise.edit.bake import bake

        return bake(self, model, Path(folder), transfer=transfer)

    def export(self, model: TextToImage, path: Path | str, *, transfer: bool = False) -> BaseMatch:
        """Write the weights that it changes, and no others, under canonical names; as `bake`."""
        from excise.edit.bake import export

        return export(self, model, Path(path), transfer=transfer)
