"""The least that an edit needs of a model: named weights that can be changed for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from excise.edit import Edit, Recipe
from excise.models.weights import swapped
from excise.types import Hook

SHAPES = {
    "unet.down.weight": (6, 10),
    "unet.down.bias": (6,),
    "unet.conv.weight": (4, 3, 2, 2),
    "text_encoder.text_model.weight": (8, 5),
}
MADE = Recipe(method="test")


class Fake:
    name = "fake"
    family = "fake"

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        random = torch.Generator().manual_seed(seed)
        self.weights = {
            name: nn.Parameter(torch.randn(shape, generator=random).to(dtype))
            for name, shape in SHAPES.items()
        }
        self.applied: tuple[Hook, ...] = ()

    def parameters(self, selector: Any = "*") -> dict[str, nn.Parameter]:
        assert selector == "*"
        return dict(self.weights)

    @contextmanager
    def swapped(self, deltas: Mapping[str, Tensor], *, key: str) -> Iterator[None]:
        with swapped(self.weights, deltas):
            yield

    @contextmanager
    def hooked(self, hooks: Sequence[Hook], *, key: str) -> Iterator[None]:
        before, self.applied = self.applied, (*self.applied, *hooks)
        yield
        self.applied = before


def model(seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    return Fake(seed, dtype)


def values(model: Any) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.weights.items()}


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def close(a: Mapping[str, Tensor], b: Mapping[str, Tensor], within: float = 1e-5) -> bool:
    return a.keys() == b.keys() and all(
        torch.allclose(a[name], b[name], atol=within, rtol=0) for name in a
    )


def effect(edit: Edit, model: Any, **options: Any) -> dict[str, Tensor]:
    """All weights with the edit applied."""
    with edit.applied(model, **options):
        return values(model)


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...]) -> Tensor:
    """Dense, mostly zero, or zero."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    value = torch.randn(shape, generator=random)
    keep = draw(st.sampled_from([1.0, 0.5, 0.1, 0.0]))
    return value * (torch.rand(shape, generator=random) < keep)


@st.composite
def deltas(draw: st.DrawFn) -> dict[str, Tensor]:
    names = draw(st.lists(st.sampled_from(sorted(SHAPES)), unique=True))
    return {name: draw(tensors(SHAPES[name])) for name in names}


def edits() -> st.SearchStrategy[Edit]:
    """Edits of the same fake model."""
    return deltas().map(lambda found: Edit.of(model(), found, recipe=MADE))
