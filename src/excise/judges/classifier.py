"""A `transformers` image classifier as a judge, its thresholds fixed in a file beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from excise.errors import BadFile, unknown
from excise.types import Concept, Score


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """An image classifier saved by `transformers`, with one or several labels a picture.

    folder: where `config.json` and the weights are. Two files beside them are read if they are there:
        `preprocessor_config.json` (size, mean, standard deviation) and `thresholds.json`
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
        except (OSError, ValueError) as error:
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
        path = Path(self.folder) / "thresholds.json"
        fixed = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {label: float(fixed.get(label, 0.5)) for label in self.labels}

    @cached_property
    def _input(self) -> tuple[int, Tensor, Tensor]:
        path = Path(self.folder) / "preprocessor_config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        size = config.get("size", {}).get("height", getattr(self.model.config, "image_size", 224))
        mean = torch.tensor(config.get("image_mean", [0.5] * 3)).view(1, 3, 1, 1)
        std = torch.tensor(config.get("image_std", [0.5] * 3)).view(1, 3, 1, 1)
        return int(size), mean, std

    @torch.no_grad()
    def scores(self, pictures: Tensor) -> Tensor:
        """Probabilities, float32 (n, labels), of uint8 (n, 3, h, w) or floats in [0, 1].

        Sigmoids for a classifier of several labels a picture, else a softmax.
        """
        size, mean, std = self._input
        several = self.model.config.problem_type == "multi_label_classification"
        rows = []
        for part in pictures.split(self.batch):
            x = part.float() / 255 if part.dtype == torch.uint8 else part.float()
            if x.shape[-2:] != (size, size):
                x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
            logits = self.model(pixel_values=(x - mean) / std).logits
            rows.append(logits.sigmoid() if several else logits.softmax(dim=1))
        return torch.cat(rows) if rows else torch.empty(0, len(self.labels))

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        """One score a picture.

        Raises:
            UnknownName: no label is called as the concept or one of its synonyms.
        """
        names = concept.names if isinstance(concept, Concept) else (concept,)
        label = next((name for name in names if name in self.labels), None)
        if label is None:
            raise unknown(f"label of the judge {self.title}", names[0], self.labels)
        values = self.scores(pictures)[:, self.labels.index(label)]
        threshold = self.thresholds[label]
        return Score(concept=label, judge=self.title, values=values, threshold=threshold)
