from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from excise.errors import BadFile, UnknownName
from excise.judges.base import Labelled, read_thresholds, thresholds_at
from excise.store import Json
from excise.types import Concept


class Colours(Labelled):
    """How much red, green and blue there is."""

    name = "colours"
    title = "colours"
    labels = ("red", "green", "nothing", "blue")
    thresholds: Mapping[str, float] = {"red": 0.5, "green": 0.6, "nothing": 0.5, "blue": 0.7}

    def __init__(self, version: int = 1) -> None:
        self.version = version

    @property
    def sources(self) -> Json:
        return {"version": self.version}

    def scores(self, pictures: Tensor) -> Tensor:
        mean = pictures.mean(dim=(2, 3))
        return torch.stack([mean[:, 0], mean[:, 1], 1 - mean.amax(dim=1), mean[:, 2]], dim=1)


def test_one_score_is_a_column_of_all() -> None:
    pictures = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    judge = Colours()
    score = judge.score(pictures, Concept("green", synonyms=("verdant",)))
    assert torch.equal(score.values, judge.scores(pictures)[:, 1])
    assert (score.threshold, score.concept, score.judge) == (0.6, "green", "colours")
    assert judge.score(pictures, "blue").threshold == 0.7
    with pytest.raises(UnknownName, match="no label of the judge colours is called 'gren'"):
        judge.score(pictures, "gren")


def test_things_stand_before_nothing() -> None:
    assert Colours().things == ("red", "green")


def test_another_source_is_another_digest() -> None:
    assert Colours(1).digest == Colours(1).digest != Colours(2).digest


def test_thresholds_come_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "thresholds.json").write_text('{"cat": 0.9}')
    assert read_thresholds(tmp_path, ("cat", "dog")) == {"cat": 0.9, "dog": 0.5}
    (tmp_path / "thresholds.json").write_text('{"cat": "high"}')
    with pytest.raises(BadFile, match="a number for every label"):
        read_thresholds(tmp_path, ("cat",))
    (tmp_path / "thresholds.json").write_text("[]")
    with pytest.raises(BadFile, match="JSON object"):
        read_thresholds(tmp_path, ("cat",))


@given(st.integers(0, 10**6), st.integers(1, 900), st.floats(0.0, 0.2))
def test_a_threshold_lets_no_more_pass_than_it_may(seed: int, n: int, share: float) -> None:
    values = torch.rand(n, 1, generator=torch.Generator().manual_seed(seed))
    absent = torch.ones(n, 1, dtype=torch.bool)
    cut = thresholds_at(values, absent, ("x",), false_alarms=share, least=0.0)["x"]
    assert int((values >= cut).sum()) <= share * n


def test_a_threshold_is_no_higher_than_it_must_be() -> None:
    values = torch.linspace(0, 1, 1001)[:, None]
    absent = torch.ones(1001, 1, dtype=torch.bool)
    cut = thresholds_at(values, absent, ("x",), false_alarms=0.1)["x"]
    assert 0.095 <= float((values >= cut).float().mean()) <= 0.1
    assert thresholds_at(values, ~absent, ("x",), least=0.4) == {"x": 0.4}
