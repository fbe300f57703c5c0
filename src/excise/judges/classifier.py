"""A `transformers` image classifier as a judge, its thresholds fixed in a file beside it."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from torch import Tensor

from excise.errors import BadFile, Unsupported
from excise.judges.base import Labelled, read_false_alarms, read_thresholds
from excise.primitives.vision import Input, batches, checkpoint, folder_hashes
from excise.store import Json, hash_tensors


@dataclass(frozen=True, kw_only=True)
class Classifier(Labelled):
    """An image classifier saved by `transformers`, with one or several labels a picture.

    Of a label that lists several names, as those of ImageNet do ("tench, Tinca tinca"), the first
    one counts, unless two labels begin with it.

    folder: where `config.json` and the weights are, or an id on the hub. Two files beside them are
        read if they are there: `preprocessor_config.json` (size, mean, standard deviation) and
        `thresholds.json` (label to threshold; 0.5 where a label has none).
    batch: pictures at a time.
    """

    name: ClassVar[str] = "classifier"

    folder: str
    batch: int = 128

    @property
    def title(self) -> str:
        """What scores made by it are called: the folder's name, or the id."""
        return Path(self.folder).name if Path(self.folder).is_dir() else self.folder

    @cached_property
    def place(self) -> Path:
        """Where it is. Raises BadFile."""
        return checkpoint(self.folder)

    @cached_property
    def model(self) -> Any:
        """The network, in evaluation mode.

        Raises:
            BadFile: the folder holds no classifier that `transformers` can load.
        """
        from transformers import AutoModelForImageClassification

        try:
            loaded = AutoModelForImageClassification.from_pretrained(
                str(self.place),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,  # left out, the user is asked whether to run code
                dtype=torch.float32,
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
        return first_names([str(names[i]) for i in range(len(names))])

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Label to threshold."""
        return read_thresholds(self.place, self.labels)

    @cached_property
    def false_alarms(self) -> dict[str, float]:
        """Label to share, from `quality.json` beside the weights."""
        return read_false_alarms(self.place, self.thresholds)

    @property
    def sources(self) -> Json:
        """The hashes of its files."""
        return {"judge": self.name, "files": folder_hashes(self.place)}

    @cached_property
    def _input(self) -> Input:
        size = getattr(self.model.config, "image_size", 224)
        return Input.of(self.place, _first(size))

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

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """What the last layer reads, float32 (n, d): pooled, before there are any labels.

        Raises:
            Unsupported: the network does not end in a linear layer.
        """
        rows: list[Tensor] = []

        def keep(_: object, inputs: tuple[Tensor, ...]) -> None:
            rows.append(inputs[0].flatten(1).float())

        handle = self._head.register_forward_pre_hook(keep)
        try:
            for part in batches(pictures, self.batch):
                self.model(pixel_values=self._input.prepare(part))
        finally:
            handle.remove()
        return torch.cat(rows) if rows else torch.empty(0, self._head.in_features)

    @property
    def _head(self) -> torch.nn.Linear:
        """The layer that makes the labels' numbers."""
        count = len(self.labels)
        for module in reversed(list(self.model.modules())):
            if isinstance(module, torch.nn.Linear) and module.out_features == count:
                return module
        raise Unsupported(
            f"expected a classifier that ends in a linear layer of {count} outputs, got "
            f"{type(self.model).__name__}; give features of another network"
        )


@runtime_checkable
class Pipeline(Protocol):
    """A live image-classification pipeline of `transformers`, or what has the same two parts."""

    model: Any
    image_processor: Any


@dataclass(frozen=True, eq=False, kw_only=True)
class Live(Classifier):
    """A classifier that somebody has in memory; no file is read, and it is left as it is.

    Every threshold is 0.5. The weights are copied once, in single precision, to the processor.
    """

    pipeline: Pipeline
    folder: str = ""

    @property
    def title(self) -> str:
        """The last part of what it was loaded by, else its class."""
        named = Path(str(getattr(self.pipeline.model, "name_or_path", ""))).name
        return named or type(self.pipeline.model).__name__

    @cached_property
    def model(self) -> Any:
        """A copy of the network, in evaluation mode."""
        copied: Any = copy.deepcopy(self.pipeline.model)
        return copied.float().cpu().eval().requires_grad_(False)

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Label to threshold."""
        return dict.fromkeys(self.labels, 0.5)

    @cached_property
    def false_alarms(self) -> dict[str, float]:
        """Nobody has measured any."""
        return {}

    @property
    def sources(self) -> Json:
        """The hash of its weights, its labels, and what its pictures have to look like."""
        wanted: dict[str, Any] = vars(self._input)
        return {
            "judge": self.name,
            "weights": hash_tensors(self.model.state_dict()),
            "input": {name: str(value) for name, value in wanted.items()},
            "labels": list(self.labels),
            "kind": str(self.model.config.problem_type),
        }

    @cached_property
    def _input(self) -> Input:
        size = getattr(self.model.config, "image_size", 224)
        config = json.loads(self.pipeline.image_processor.to_json_string())
        return Input.read(config, _first(size), self.title)


def first_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The first of the names that a label lists; all of them where two labels begin alike."""
    firsts = [label.split(",")[0].strip() for label in labels]
    count = Counter(firsts)
    return tuple(
        label if count[first] > 1 else first for label, first in zip(labels, firsts, strict=True)
    )


def _first(size: int | Sequence[int]) -> int:
    """A side of pictures that a configuration gives as one number, or as two."""
    return int(size) if isinstance(size, int) else int(size[0])
