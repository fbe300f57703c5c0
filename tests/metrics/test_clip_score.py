from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.judges.test_zero_shot_clip import save
from tests.metrics import seeing

from excise.errors import MissingJudge
from excise.metrics.base import prepare
from excise.metrics.clip_score import ClipScore, clip_scores, mean_score
from excise.metrics.kid import KID
from excise.primitives.clip import CLIP, Clip
from excise.primitives.panel import Sheet
from excise.primitives.probe import Look, Probe, Shot
from excise.store import Cache
from excise.types import Prompt


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(source=str(save(tmp_path_factory.mktemp("clip"))))


@pytest.fixture
def model(clip: Clip) -> Iterator[Any]:
    """The model of two things, whose notes name a CLIP."""
    found = seeing.model()
    kept, found.notes = found.notes, {**found.notes, "clip": clip.source}
    yield found
    found.notes = kept


def look(embedded: torch.Tensor, *prompts: str) -> Look:
    """Pictures whose embeddings are these, each drawn from its prompt."""
    shots = tuple(Shot(prompt=Prompt(p), seed=0, label="x", group="x") for p in prompts)
    empty = Sheet(judge="", labels=(), things=(), values=torch.empty(len(shots), 0), thresholds={})
    thumbs = torch.zeros(len(shots), 3, 4, 4, dtype=torch.uint8)
    features = {CLIP: embedded}
    return Look(probe=Probe(shots=shots), sheet=empty, thumbs=thumbs, features=features)


def test_the_score_is_a_cosine_in_percent_and_never_negative(clip: Clip) -> None:
    asked = ("a red", "a tree", "a red")
    own = clip.texts(asked)
    other = torch.randn(3, own.shape[1], generator=torch.Generator().manual_seed(0))
    other = other - (other * own).sum(dim=1, keepdim=True) * own  # at right angles to its text
    half = (own + other / other.norm(dim=1, keepdim=True)) / 2**0.5  # at 45 degrees
    signs = torch.tensor([1.0, -1.0, 1.0])[:, None]
    assert clip_scores(clip, look(own, *asked)).tolist() == pytest.approx([100] * 3, abs=1e-3)
    found = clip_scores(clip, look(signs * half, *asked))
    assert found.tolist() == pytest.approx([50 * 2**0.5, 0, 50 * 2**0.5], abs=1e-3)


def test_the_mean_has_an_interval_across_prompts(clip: Clip) -> None:
    asked = ("a red", "a red", "a tree", "a tree")
    embedded = clip.texts(asked) * torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None]
    found = mean_score(clip, look(embedded, *asked))
    assert found.value == pytest.approx(50, abs=1e-3)
    assert found.low < 0 < 100 < found.high  # two prompts tell little
    same = mean_score(clip, look(embedded[:2], *asked[:2]))
    assert same.low == same.high


def test_every_model_is_scored_and_the_change_is_paired(model: Any, clip: Clip) -> None:
    edit = seeing.ruined(model)
    found = ClipScore(pictures=4).measure(model, None, seeing.CAT, judge=seeing.judge(), edit=edit)
    gap = found["edit"]["value"] - found["base"]["value"]
    assert found["change"]["value"] == pytest.approx(gap, abs=1e-6)
    assert found["clip"] == clip.title
    same = ClipScore(pictures=4).measure(model, model, seeing.CAT, judge=seeing.judge())
    assert same["change"]["value"] == same["change"]["low"] == 0
    # Any CLIP by its folder, which scores the same here since it is the same.
    named = ClipScore(pictures=4, clip=clip.source).measure(
        model, None, seeing.CAT, judge=seeing.judge(), edit=edit
    )
    assert named == found


def test_without_a_clip_it_says_how_to_name_one() -> None:
    with pytest.raises(MissingJudge, match="clip=openai"):
        ClipScore(pictures=2).measure(seeing.model(), None, seeing.CAT, judge=seeing.judge())


def test_pictures_that_were_described_are_drawn_once_also_between_runs(
    model: Any, tmp_path: Path
) -> None:
    def answers() -> list[Any]:
        work = prepare(model, model, seeing.CAT, judge=seeing.judge(), cache=Cache(tmp_path))
        return [KID(pictures=4, splits=2).answer(work), ClipScore(pictures=4).answer(work)]

    before = model.costs.pictures
    first = answers()
    spent = model.costs.pictures
    assert spent - before == 8  # twice four of the neighbour; base and edit are one model here
    assert answers() == first
    assert model.costs.pictures == spent
