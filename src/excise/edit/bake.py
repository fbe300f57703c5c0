"""Edits as plain weights, for programs that know nothing of edits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from excise.edit.base import HALVES, Base, BaseMatch, BaseTensor
from excise.edit.encodings import Dense, Encoded
from excise.edit.packing import pack
from excise.edit.recipe import Recipe
from excise.edit.value import Edit
from excise.errors import BadFile, Unsupported, UserError
from excise.store import save_tensors
from excise.types import Selector

if TYPE_CHECKING:
    from excise.types import TextToImage


def bake(edit: Edit, model: TextToImage, folder: Path, *, transfer: bool = False) -> BaseMatch:
    """See `Edit.bake`."""
    _without_hooks(edit)
    with edit.applied(model, transfer=transfer) as match:
        model.save(folder)
    return match


def export(edit: Edit, model: TextToImage, path: Path, *, transfer: bool = False) -> BaseMatch:
    """See `Edit.export`."""
    _without_hooks(edit)
    if path.suffix != ".safetensors":
        raise BadFile(f"expected a name that ends in .safetensors, got {path.name!r}")
    with edit.applied(model, transfer=transfer) as match:
        live = model.parameters("*")
        weights = {name: live[name].detach() for name in edit.deltas}
        save_tensors(path, weights, {"format": "excise.weights/1", "edit": edit.digest})
    return match


def from_weights(
    base: Mapping[str, Tensor],
    edited: Mapping[str, Tensor],
    *,
    name: str,
    family: str,
    recipe: Recipe | None,
) -> Edit:
    """See `Edit.from_weights`."""
    missing, extra = sorted(base.keys() - edited.keys()), sorted(edited.keys() - base.keys())
    if missing or extra:
        raise UserError(
            f"expected weights of the same names, but {len(missing)} are only in the base "
            f"{missing[:3]} and {len(extra)} only in the edited model {extra[:3]}; compare two "
            "models of one family, or the components that they share"
        )
    deltas: dict[str, Encoded] = {}
    for key, value in base.items():
        if value.shape != edited[key].shape:
            raise UserError(
                f"expected {key} of shape {tuple(value.shape)}, as in the base, got "
                f"{tuple(edited[key].shape)}; compare two models of one family"
            )
        if (change := _difference(value, edited[key])) is not None:
            deltas[key] = Dense(change)
    records = {key: BaseTensor.of(base[key]) for key in deltas}
    return Edit(
        deltas=deltas,
        recipe=recipe or Recipe(method="difference"),
        base=Base(name=name, family=family, tensors=records),
    )


def between(base: TextToImage, edited: TextToImage, selector: Selector) -> Edit:
    """See `Edit.between`."""
    if base.family != edited.family:
        raise UserError(
            f"expected two models of one family, got {base.name!r} of {base.family!r} and "
            f"{edited.name!r} of {edited.family!r}; give the model that was fine-tuned"
        )
    return from_weights(
        base.parameters(selector),
        edited.parameters(selector),
        name=base.name,
        family=base.family,
        recipe=Recipe(method="difference", settings={"base": base.name, "edited": edited.name}),
    )


def _difference(base: Tensor, edited: Tensor) -> Tensor | None:
    """In float32 on the CPU; None where nothing but precision was lost."""
    if not base.is_floating_point():
        return None
    a, b = (value.detach().to("cpu", torch.float32) for value in (base, edited))
    if any(torch.equal(a.to(half).float(), b) for half in HALVES.values()):
        return None
    return b - a


def _without_hooks(edit: Edit) -> None:
    if edit.hooks:
        names = ", ".join(pack(hook).name for hook in edit.hooks)
        raise Unsupported(
            f"expected an edit of weights alone, got one with hooks ({names}), which act while "
            "drawing and cannot be baked into weights; hand over the edit's own file with the "
            "base, or bake edit.task_vector(), which leaves the hooks out"
        )
