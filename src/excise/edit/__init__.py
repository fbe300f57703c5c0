"""Edits: deltas and hooks as a value that can be combined, kept, applied and undone."""

from excise.edit.base import Base, BaseMatch, BaseTensor
from excise.edit.encodings import Dense, Encoded, LowRank, Sparse
from excise.edit.file import record_folder
from excise.edit.making import Making
from excise.edit.recipe import Recipe
from excise.edit.value import Edit

__all__ = [
    "Base",
    "BaseMatch",
    "BaseTensor",
    "Dense",
    "Edit",
    "Encoded",
    "LowRank",
    "Making",
    "Recipe",
    "Sparse",
    "record_folder",
]
