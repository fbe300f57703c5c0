"""Text-to-image diffusion models behind one seam; a family of models is one file."""

from excise.models.base import DiffusionModel
from excise.models.load import embedded, load

__all__ = ["DiffusionModel", "embedded", "load"]
