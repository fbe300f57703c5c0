"""Any CLIP as a judge: which of a list of texts fits a picture best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from excise.errors import BadFile, BadSetting
from excise.judges.base import Input, Labelled, batches, folder_hashes, read_thresholds
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
        tokenizer. `thresholds.json` (label to threshold) is read if it is there.
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
        """The folder's name."""
        return f"CLIP {Path(self.folder).name}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names, then "nothing" for the rest."""
        return (*self.names, NOTHING)

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Label to threshold."""
        return read_thresholds(Path(self.folder), self.labels, self.threshold)

    @property
    def sources(self) -> Json:
        """The settings, and the hashes of the checkpoint's files."""
        return {
            "judge": self.name,
            "settings": recipe(self, without=("folder", "tokenizer", "batch")),
            "files": folder_hashes(Path(self.folder)),
        }

    @cached_property
    def model(self) -> Any:
        """Both towers, in evaluation mode. Raises BadFile."""
        from transformers import CLIPModel

        try:
            loaded: Any = CLIPModel.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise BadFile(
                f"expected a CLIP saved by transformers in {self.folder}, got: {error}; give the "
                "folder that holds its config.json and model.safetensors"
            ) from error
        return loaded.eval().requires_grad_(False)

    @cached_property
    def _input(self) -> Input:
        folder = Path(self.folder)
        if not (folder / "preprocessor_config.json").exists():
            raise BadFile(
                f"expected preprocessor_config.json in {folder}, which says what pictures have to "
                "look like; add the one that belongs to the checkpoint"
            )
        return Input.of(folder, int(self.model.config.vision_config.image_size))

    @cached_property
    def texts(self) -> Tensor:
        """Unit embeddings (names + rest, d), averaged over templates for the names."""
        rows = [self._embed([fill(t, name) for t in self.templates]).mean(0) for name in self.names]
        found = torch.cat([torch.stack(rows), self._embed(self.rest)])
        unit: Tensor = found / found.norm(dim=1, keepdim=True)
        return unit

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        place = self.tokenizer or self.folder
        try:
            return CLIPTokenizer.from_pretrained(place, local_files_only=True)
        except (OSError, ValueError, TypeError) as error:
            raise BadFile(
                f"expected CLIP's tokenizer in {place}, got: {error}; name its folder"
            ) from error

    @torch.no_grad()
    def _embed(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings (n, d) of texts, cut and padded to the model's length."""
        config = self.model.config.text_config
        ids = self._tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=config.max_position_embeddings,
            return_tensors="pt",
        )
        # The projections by name: what the library's own helpers return changed with version 5.
        state = self.model.text_model(input_ids=ids.input_ids, attention_mask=ids.attention_mask)
        found: Tensor = self.model.text_projection(state.pooler_output)
        unit: Tensor = found / found.norm(dim=1, keepdim=True)
        return unit

    @torch.no_grad()
    def scores(self, pictures: Tensor) -> Tensor:
        """Probabilities, float32 (n, labels), of uint8 (n, 3, h, w) or floats in [0, 1]."""
        rows = [torch.empty(0, len(self.labels))]
        for part in batches(pictures, self.batch):
            state = self.model.vision_model(pixel_values=self._input.prepare(part))
            seen = self.model.visual_projection(state.pooler_output)  # (b, d)
            seen = seen / seen.norm(dim=1, keepdim=True)
            logits = self.model.logit_scale.exp() * seen @ self.texts.T  # (b, names + rest)
            every = logits.softmax(dim=1)
            own, others = every.split([len(self.names), len(self.rest)], dim=1)
            rows.append(torch.cat([own, others.sum(dim=1, keepdim=True)], dim=1))
        return torch.cat(rows)
