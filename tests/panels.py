"""Judges and models for tests: a panel that knows two things, a model that was taught them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tests import trained
from torch import Tensor

from excise.edit import Edit
from excise.edit.recipe import Recipe
from excise.models.load import of_pipeline
from excise.types import Concept, Prompt, Request, Samples, Score, TextToImage

TEMPLATES = ("{a}", "a photo of {a}", "a picture of {a}")  # those that the model was taught
CAT = Concept("cat", templates=TEMPLATES, neighbours=("dog",))
DOG = Concept("dog", templates=TEMPLATES)


def model(pipeline: Any = None) -> Any:
    """Knows a cat and a dog, says so, and draws in a few steps."""
    pipeline = pipeline or trained.world().model.pipeline  # type: ignore[attr-defined]
    found = of_pipeline(pipeline, "two things", {"steps": 6, "guidance": 1.0})
    found.known = (CAT, DOG)
    return found


@dataclass(frozen=True, eq=False)
class Near:
    """A panel: a picture shows what it is nearest to, if it is near enough."""

    references: Tensor  # (2, 3, h, w) in [0, 1]
    reach: float
    asked: list[int]  # how many pictures it was shown at a time

    labels = ("cat", "dog", "nothing")
    things = ("cat", "dog")
    name = "near"
    title = "near"
    digest = "near/1"

    @property
    def thresholds(self) -> Mapping[str, float]:
        return dict.fromkeys(self.labels, 0.5)

    def scores(self, pictures: Tensor) -> Tensor:
        self.asked.append(len(pictures))
        x = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()
        far = (x[:, None] - self.references).abs().mean(dim=(2, 3, 4))  # (n, 2)
        own = (far == far.amin(dim=1, keepdim=True)) & (far < self.reach)
        values = torch.where(own, 0.9, 0.1)
        return torch.cat([values, 1 - values.amax(dim=1, keepdim=True)], dim=1)

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        name = concept if isinstance(concept, str) else concept.name
        values = self.scores(pictures)[:, self.labels.index(name)]
        return Score(concept=name, judge=self.name, values=values, threshold=0.5)


def near(of: TextToImage) -> Near:
    """The panel that knows what the unedited model draws, on seeds that no test uses."""
    drawn = [
        of.generate(Request(prompts=(text,), seeds=tuple(range(900, 916)))).float()
        for text in ("a cat", "a dog")
    ]
    references = torch.stack([pictures.mean(dim=0) for pictures in drawn])
    own = torch.stack([(x - r).abs().mean() for x, r in zip(drawn, references, strict=True)])
    return Near(references, 1.5 * float(own.max()), [])


def renamed(of: Any, word: str, other: str) -> Edit:
    """An edit with which a word means what another means."""
    (name,) = [n for n in of.parameters("text_encoder") if "token_embedding" in n]
    ids = of.pipeline.tokenizer([word, other]).input_ids
    a, b = (row[1] for row in ids)
    table = of.parameters("text_encoder")[name].detach()
    delta = torch.zeros_like(table)
    delta[a] = table[b] - table[a]
    return Edit.of(of, {name: delta}, recipe=Recipe(method="rename"))


def ruined(of: Any) -> Edit:
    """An edit with which nothing recognisable is drawn."""
    bias = torch.tensor([-50.0, 50.0, 50.0, -50.0])
    return Edit.of(of, {"unet.conv_out.bias": bias}, recipe=Recipe(method="ruin"))


class Plain:
    """A judge that is no panel: how bright a picture is, whatever it is asked about."""

    name = "plain"

    def score(self, pictures: Tensor, concept: Concept | str) -> Score:
        name = concept if isinstance(concept, str) else concept.name
        x = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()
        return Score(concept=name, judge="plain", values=x.mean(dim=(1, 2, 3)), threshold=0.5)


class Collapsed:
    """A model that draws one picture, whatever the prompt and the seed."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def generate(self, request: Request | str | Sequence[str | Prompt]) -> Samples:
        assert isinstance(request, Request)
        one = self.inner.generate(Request(prompts=("a dog",), seeds=(0,)))
        pictures = one.pictures.expand(len(request), -1, -1, -1).clone()
        return Samples(pictures=pictures, request=request)
