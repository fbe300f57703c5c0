"""The two towers of a CLIP: what they make of pictures and of texts, in one space.

Radford et al. 2021, arXiv:2103.00020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from excise.errors import BadFile, Unsupported
from excise.primitives.vision import (
    PREPROCESSOR,
    Extractor,
    Input,
    batches,
    checkpoint,
    extractor_of,
    folder_hashes,
    json_of,
)
from excise.store import hash_json, load_tensors, sha256_file

TOWERS = "towers.json"
"""In a CLIP that holds an image tower only: the folders of its text tower and of its tokenizer."""

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A CLIP checkpoint in the layout of `transformers`, with `preprocessor_config.json`.

    A model whose text encoder is a CLIP's text tower need not hold that tower twice: with a
    `towers.json` beside it (``text_encoder``, its ``sha256``, and ``tokenizer``, folders relative
    to its own) the checkpoint has the image tower, both projections and the scale only.

    source: its folder, or an id on the hub. tokenizer: its folder, if it is elsewhere.
    batch: pictures, or texts, at a time.
    """

    source: str
    tokenizer: str | None = None
    batch: int = 32

    @cached_property
    def folder(self) -> Path:
        """Where it is. Raises BadFile."""
        return checkpoint(self.source)

    @property
    def title(self) -> str:
        """The folder's name, or the id."""
        return Path(self.source).name if Path(self.source).is_dir() else self.source

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of the files that its answers depend on, by name; Raises BadFile."""
        found = folder_hashes(self.folder)
        for part in ("text_encoder", "tokenizer"):
            if place := self._towers.get(part):
                own = folder_hashes(self._place(place))
                found |= {f"{part}/{name}": digest for name, digest in own.items()}
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what its answers depend on."""
        return hash_json({"clip": self.hashes})

    @cached_property
    def model(self) -> Any:
        """Both towers, in evaluation mode. Raises BadFile."""
        from transformers import CLIPModel

        try:
            if self._towers:
                return self._assembled(CLIPModel)
            loaded: Any = CLIPModel.from_pretrained(
                str(self.folder), local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise BadFile(
                f"expected a CLIP saved by transformers in {self.source}, got: {error}; give the "
                "folder that holds its config.json and model.safetensors"
            ) from error
        return loaded.eval().requires_grad_(False)

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a softmax: e to the power of the logit scale."""
        return float(self.model.logit_scale.exp())

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """Unit embeddings of pictures, float32 (n, d), of uint8 (n, 3, h, w) or in [0, 1]."""
        rows = [torch.empty(0, int(self.model.config.projection_dim))]
        for part in batches(pictures, self.batch):
            state = self.model.vision_model(pixel_values=self._input.prepare(part))
            rows.append(self.model.visual_projection(state.pooler_output))
        return _unit(torch.cat(rows))

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings of texts (n, d), cut and padded to the model's length."""
        rows = [torch.empty(0, int(self.model.config.projection_dim))]
        for i in range(0, len(texts), self.batch):
            ids = self._tokenizer(
                list(texts[i : i + self.batch]),
                padding="max_length",
                truncation=True,
                max_length=self.model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            )
            # By name: what the library's own helpers return changed with version 5.
            state = self.model.text_model(
                input_ids=ids.input_ids, attention_mask=ids.attention_mask
            )
            rows.append(self.model.text_projection(state.pooler_output))
        return _unit(torch.cat(rows))

    @cached_property
    def _towers(self) -> dict[str, Any]:
        return json_of(self.folder / TOWERS)

    def _place(self, name: str) -> Path:
        return (self.folder / str(name)).resolve()

    def _assembled(self, kind: Any) -> Any:
        """The model, its text tower taken from elsewhere."""
        place = self._place(self._towers["text_encoder"]) / WEIGHTS
        if not place.exists() or sha256_file(place) != self._towers.get("sha256"):
            raise BadFile(
                f"expected in {place} the text tower that the image tower in {self.source} was "
                "trained with, got none or another; put the two back side by side as they were"
            )
        config = kind.config_class.from_pretrained(str(self.folder), local_files_only=True)
        tensors = {**load_tensors(place)[0], **load_tensors(self.folder / WEIGHTS)[0]}
        with torch.device("meta"):  # nothing is drawn from the global generator
            model = kind(config)
        lost, other = model.load_state_dict(
            {name: value.float() for name, value in tensors.items()}, strict=False, assign=True
        )
        if lost or other:
            raise BadFile(
                f"expected the weights of one CLIP in {self.source} and {place}, got none for "
                f"{lost[:3]} and unknown {other[:3]}; export the CLIP anew"
            )
        for tower in (model.text_model, model.vision_model):
            ids = tower.embeddings.position_ids  # no weight, and so in no file
            tower.embeddings.register_buffer(
                "position_ids", torch.arange(ids.shape[-1])[None], persistent=False
            )
        return model.eval().requires_grad_(False)

    @cached_property
    def _input(self) -> Input:
        if not (self.folder / PREPROCESSOR).exists():
            raise BadFile(
                f"expected {PREPROCESSOR} in {self.folder}, which says what pictures have to "
                "look like; add the one that belongs to the checkpoint"
            )
        return Input.of(self.folder, int(self.model.config.vision_config.image_size))

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        own = self._towers.get("tokenizer")
        place = self.tokenizer or str(self._place(own) if own else self.folder)
        try:
            return CLIPTokenizer.from_pretrained(place, local_files_only=True)
        except (OSError, ValueError, TypeError) as error:
            raise BadFile(
                f"expected CLIP's tokenizer in {place}, got: {error}; name its folder"
            ) from error


FEATURES, CLIP = "features", "clip"
"""What a look's features are called: of the judge's network, and of a CLIP's image tower."""


def extractors(judge: object, model: object, given: object = None) -> dict[str, Extractor]:
    """What can describe pictures: under "features" a network, under "clip" a CLIP's image tower.

    judge: its network is meant, unless features are given. model: its notes may name a CLIP; else
    that of a zero-shot judge is taken. What there is not is left out.
    """
    found: dict[str, Extractor] = {}
    network = extractor_of(judge if given is None else given)
    if network is not None and (given is not None or _able(network)):
        found[FEATURES] = network
    clip = clip_of(judge, model)
    if clip is not None:
        found[CLIP] = clip
    return found


def clip_of(judge: object, model: object) -> Clip | None:
    """The CLIP that a model's notes name, else that of a zero-shot judge, else None."""
    named = getattr(model, "notes", {}).get("clip")
    if named and (Path(str(named)) / "config.json").exists():
        return Clip(source=str(named))
    own = getattr(getattr(judge, "panels", (judge,))[0], "clip", None)
    return own if isinstance(own, Clip) else None


def _able(network: Extractor) -> bool:
    """Some classifiers end in what has no features; that is said before anything is drawn."""
    try:
        network.features(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    except Unsupported:
        return False
    return True


def _unit(rows: Tensor) -> Tensor:
    found: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return found
