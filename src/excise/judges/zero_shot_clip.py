"""Any CLIP as a judge: which of a list of texts fits a picture best."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from excise.errors import BadSetting
from excise.judges.base import Labelled, read_thresholds
from excise.primitives.clip import Clip
from excise.primitives.panel import NOTHING
from excise.settings import recipe
from excise.store import Json
from excise.types import fill


@dataclass(frozen=True, kw_only=True)
class ZeroShotClip(Labelled):
    """Zero-shot classification with a CLIP checkpoint: a softmax over texts.

    The labels share one probability, so a picture shows one of them, or none: `rest` is what it
    may show instead. A picture of two things splits its probability between them.

    folder: a checkpoint in the layout of `transformers`, with `preprocessor_config.json` and its
        tokenizer, or its id on the hub. `thresholds.json` (label to threshold) is read if it is
        there.
    names: the labels, which are put into the templates, as ``a cat``.
    rest: texts for everything else; together they are the label "nothing".
    templates: a label's embedding is the mean over its texts (prompt ensembling, section 3.1.4).
    threshold: where the file has none. tokenizer: its folder, if it is elsewhere.
    batch: pictures at a time.
    """

    name: ClassVar[str] = "zero_shot_clip"
    paper: ClassVar[str] = "Radford et al. 2021, arXiv:2103.00020"

    folder: str
    names: tuple[str, ...]
    rest: tuple[str, ...] = ("something else", "nothing", "an empty background", "noise")
    templates: tuple[str, ...] = ("{a}", "a photo of {a}", "a picture of {a}", "a drawing of {a}")
    threshold: float = 0.5
    tokenizer: str | None = None
    batch: int = 32

    def __post_init__(self) -> None:
        if not self.names or len({*self.names, NOTHING}) <= len(self.names):
            raise BadSetting(
                f"{self.name}: expected one or more different names, none of them {NOTHING!r}, "
                f"got {self.names}"
            )
        if not self.rest or not self.templates:
            raise BadSetting(
                f"{self.name}: expected templates, and texts for everything else (without any, "
                f"each picture has to show one of the names), got {self.templates}, {self.rest}"
            )
        if not 0 < self.threshold < 1:
            raise BadSetting(f"{self.name}: expected 0 < threshold < 1, got {self.threshold}")

    @property
    def title(self) -> str:
        """The folder's name, or the id."""
        return f"CLIP {self.clip.title}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names, then "nothing" for the rest."""
        return (*self.names, NOTHING)

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Label to threshold."""
        return read_thresholds(self.clip.folder, self.labels, self.threshold)

    @property
    def sources(self) -> Json:
        """The settings, and the hashes of the checkpoint's files."""
        return {
            "judge": self.name,
            "settings": recipe(self, without=("folder", "tokenizer", "batch")),
            "files": self.clip.hashes,
        }

    @cached_property
    def clip(self) -> Clip:
        """The towers."""
        return Clip(source=self.folder, tokenizer=self.tokenizer, batch=self.batch)

    @cached_property
    def texts(self) -> Tensor:
        """Unit embeddings (names + rest, d), averaged over templates for the names."""
        named = [self.clip.texts([fill(t, name) for t in self.templates]) for name in self.names]
        means = torch.stack([rows.mean(dim=0) for rows in named])
        found = torch.cat([means, self.clip.texts(self.rest)])
        unit: Tensor = found / found.norm(dim=1, keepdim=True)
        return unit

    def features(self, pictures: Tensor) -> Tensor:
        """Unit embeddings of pictures, float32 (n, d)."""
        return self.clip.features(pictures)

    @torch.no_grad()
    def scores(self, pictures: Tensor) -> Tensor:
        """Probabilities, float32 (n, labels), of uint8 (n, 3, h, w) or floats in [0, 1]."""
        logits = self.clip.scale * self.features(pictures) @ self.texts.T  # (n, names + rest)
        every = logits.softmax(dim=1)
        own, others = every[:, : len(self.names)], every[:, len(self.names) :]
        return torch.cat([own, others.sum(dim=1, keepdim=True)], dim=1)
