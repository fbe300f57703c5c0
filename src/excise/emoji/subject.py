"""A model of the emoji world whose quality is to be measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from excise.models.base import DiffusionModel
from excise.store import read_json
from excise.types import Prompt, Request

Draw = Callable[[Sequence[str], Sequence[int]], Tensor]
"""Pictures, uint8 (n, 3, 64, 64), of texts on seeds."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model that is asked to draw.

    draw: with its own sampler. draw_plainly: as `StableDiffusionPipeline` draws when it is told
    nothing but the text (50 steps, guidance 7.5). without: what it was not trained on.
    """

    draw: Draw
    draw_plainly: Draw
    without: frozenset[str] = frozenset()

    @staticmethod
    def of(model: DiffusionModel, without: frozenset[str] = frozenset()) -> Subject:
        """A model behind the seam."""

        def draw(texts: Sequence[str], seeds: Sequence[int]) -> Tensor:
            return model.generate(Request(prompts=Prompt.of(texts), seeds=tuple(seeds))).uint8()

        def draw_plainly(texts: Sequence[str], seeds: Sequence[int]) -> Tensor:
            noise = [torch.Generator().manual_seed(seed) for seed in seeds]
            x: Tensor = model.pipeline(list(texts), generator=noise, output_type="pt").images
            return x.float().mul(255).round().to("cpu", torch.uint8)  # (n, 3, 64, 64)

        return Subject(draw=draw, draw_plainly=draw_plainly, without=without)


def notes_of(folder: Path) -> tuple[dict[str, Any], Path]:
    """What `excise.json` says of a model, with what its base says, and the base's folder.

    Raises BadFile if there is none.
    """
    own: dict[str, Any] = read_json(folder / "excise.json")
    home = (folder / own["base"]).resolve() if "base" in own else folder
    return ({**read_json(home / "excise.json"), **own} if home != folder else own), home
