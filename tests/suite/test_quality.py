"""Variety falls where a model collapses, and drift is where pictures moved."""

from __future__ import annotations

import pytest
import torch

from excise.models.load import ASSETS
from excise.primitives.clip import CLIP, FEATURES, Clip
from excise.primitives.panel import Sheet
from excise.primitives.probe import Look, Probe, Shot
from excise.reporting import Measure
from excise.rng import generator
from excise.suite.book import Book
from excise.suite.quality import measures
from excise.types import Prompt

GROUPS = ("dog", "horse", "house", "car")


def look(thumbs: torch.Tensor, features: dict[str, torch.Tensor] | None = None) -> Look:
    shots = tuple(
        Shot(prompt=Prompt(f"{'a' if i % 2 else 'the'} {name}"), seed=i, label=name, group=name)
        for name in GROUPS
        for i in range(4)
    )
    values = torch.ones(len(shots), 1)
    sheet = Sheet(judge="j", labels=("dog",), things=(), values=values, thresholds={"dog": 0.5})
    return Look(probe=Probe(shots=shots), sheet=sheet, thumbs=thumbs, features=features or {})


def pictures(seed: int = 0) -> torch.Tensor:
    shape = (16, 3, 16, 16)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator("quality", seed))


def found(**arms: torch.Tensor) -> dict[str, Measure]:
    looks = {arm: look(thumbs) for arm, thumbs in arms.items()}
    base = "base" if "base" in arms else None
    return {one.name: one for one in measures(Book(), looks, ("dog",), base)}


def test_one_picture_for_all_seeds_has_no_variety() -> None:
    whole = pictures()
    made = found(base=whole, edit=whole[:1].expand(16, -1, -1, -1).clone())["diversity"]
    assert made.values["edit"].value == 0.0
    assert made.values["base"].value > 0.1
    assert made.want == "high"


def test_drift_is_counted_by_what_it_is_near_to() -> None:
    whole = pictures()
    moved = whole.clone()
    moved[:4] = 255 - moved[:4]  # the neighbour alone
    made = found(base=whole, edit=moved, same=whole)
    assert made["drift"].values["edit"].value == 0.0
    assert made["drift_near"].values["edit"].value > 0.3
    assert made["drift_near"].values["same"].value == 0.0
    assert "base" not in made["drift"].values


def test_another_picture_at_every_seed_drifts_as_far_as_two_seeds_do() -> None:
    made = found(base=pictures(), edit=pictures(1))["drift"]
    scale = float(made.note.split("differ by ")[1].split(" ")[0])
    assert made.values["edit"].value == pytest.approx(scale, rel=0.05)
    low = made.values["edit"].low
    assert low is not None
    assert low <= made.values["edit"].value


def test_without_a_base_there_is_variety_only() -> None:
    assert list(found(edit=pictures())) == ["diversity"]


def described(shift: float = 0.0, seed: int = 0) -> Look:
    """A look with features, each class around its own place."""
    place = torch.arange(16)[:, None] // 4
    rows = torch.randn(16, 3, generator=generator("described", seed)) + place + shift
    return look(pictures(seed), {FEATURES: rows})


def test_all_pictures_together_are_held_against_the_bases_on_other_seeds() -> None:
    looks = {"base": described(), "edit": described(0.0, 1), "ruined": described(9.0, 2)}
    made = {one.name: one for one in measures(Book(), looks, ("dog",), "base")}
    kid, fid = made["kid"].values, made["fid"].values
    assert kid["ruined"].value > 10 * abs(kid["base"].value)
    assert kid["ruined"].low is not None
    assert kid["edit"].value < kid["ruined"].low
    assert fid["ruined"].value > 5 * fid["base"].value > 0
    assert fid["base"].low is None
    assert "8 pictures a side" in made["fid"].label
    assert "too large" in made["fid"].note
    assert made["kid"].want == made["fid"].want == "low"
    assert "the judge sees them" in made["kid"].note


def test_without_features_of_every_model_nothing_is_said_of_them() -> None:
    looks = {"base": described(), "edit": look(pictures())}
    assert not {"kid", "fid"} & {one.name for one in measures(Book(), looks, (), "base")}
    alone = {one.name for one in measures(Book(), {"edit": described()}, (), None)}
    assert alone == {"diversity"}


def test_the_fit_to_the_prompts_is_scored_where_there_is_a_clip() -> None:
    clip = Clip(source=str(ASSETS / "clip"))
    texts = [shot.prompt.text for shot in look(pictures()).probe.shots]
    own = clip.texts(texts)
    looks = {
        "base": look(pictures(), {CLIP: own}),
        "edit": look(pictures(), {CLIP: -own}),
    }
    made = {one.name: one for one in measures(Book(), looks, (), "base", networks={CLIP: clip})}
    score = made["clip_score"]
    assert score.values["base"].value == pytest.approx(100, abs=1e-3)
    assert score.values["edit"].value == 0
    assert score.want == "high"
    assert "clip_score" not in {one.name for one in measures(Book(), looks, (), "base")}
