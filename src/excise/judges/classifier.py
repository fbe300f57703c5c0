"""A `transformers` image classifier as a judge, its thresholds fixed in a file beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from excise.errors import BadFile
from excise.judges.base import Input, Labelled, batches, folder_hashes, read_thresholds
from excise.store import Json


@dataclass(frozen=True, kw_only=True)
class Classifier(Labelled):
    """An image classifier saved by `transformers`, with one or several labels a picture.

    folder: where `config.json` and the weights are. Two files beside them are read if they are
        there: `preprocessor_config.json` (size, mean, standard deviation) and `thresholds.json`
        (label to threshold; 0.5 where a label has none).
    batch: pictures at a time.
    """

    name: ClassVar[str] = "classifier"

    folder: str
    batch: int = 128

    @property
    def title(self) -> str:
        """What scores made by it are called: the folder's name."""
        return Path(self.folder).name

    @cached_property
    def model(self) -> Any:
        """The network, in evaluation mode.

        Raises:
            BadFile: the folder holds no classifier that `transformers` can load.
        """
        from transformers import AutoModelForImageClassification

        try:
            loaded = AutoModelForImageClassification.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise BadFile(
                f"expected an image classifier saved by transformers in {self.folder}, "
                f"got: {error}; give the folder that holds its config.json"
            ) from error
        return loaded.eval().requires_grad_(False)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the scores' columns."""
        names = self.model.config.id2label
        return tuple(names[i] for i in range(len(names)))

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Label to threshold."""
        return read_thresholds(Path(self.folder), self.labels)

    @property
    def sources(self) -> Json:
        """The hashes of its files."""
        return {"judge": self.name, "files": folder_hashes(Path(self.folder))}

    @cached_property
    def _input(self) -> Input:
        size = getattr(self.model.config, "image_size", 224)
        return Input.of(Path(self.folder), int(size))

    @torch.no_grad()
    def scores(self, pictures: Tensor) -> Tensor:
        """Probabilities, float32 (n, labels), of uint8 (n, 3, h, w) or floats in [0, 1].

        Sigmoids for a classifier of several labels a picture, else a softmax.
        """
        several = self.model.config.problem_type == "multi_label_classification"
        rows = []
        for part in batches(pictures, self.batch):
            logits = self.model(pixel_values=self._input.prepare(part)).logits
            rows.append(logits.sigmoid() if several else logits.softmax(dim=1))
        return torch.cat(rows) if rows else torch.empty(0, len(self.labels))
