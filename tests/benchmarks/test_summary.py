"""Figures over several edits: their values, and that what edits share is not divided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays import Arrays, alike
from summary import delta_loss, excess, kept, summary

from excise.rng import numpy_generator
from excise.stats import wilson_upper

P, T, N = 4, 4, 64


def edit(number: int, **changes: Any) -> Arrays:
    """One of several edits that were measured on the same things."""
    shared, own = numpy_generator("shared"), numpy_generator("own", number)
    floor = 0.1 * shared.random((P, T))
    before = (shared.random(N) < 0.95).astype(float)
    reference = 0.2 + 0.1 * shared.random(32)
    fields: dict[str, Any] = {
        "plain": np.zeros(N),
        "words": tuple(f"word {i // 2}" for i in range(N)),
        "before": before,
        "after": before * (own.random(N) < 0.98),
        "classes": tuple(f"class {i % 4}" for i in range(N)),
        "sentences": tuple(f"class {i % 4}: {i // 8}" for i in range(N)),
        "floor": floor,
        "searched": floor + 0.05 * own.random((P, T)),
        "own": 0.02,
        "shared": 0.03,
        "tries": 3.0,
        "reference": reference,
        "losses": reference + 0.01 + 0.002 * own.random(32),
        "pictures": np.arange(32.0) % 8,
    }
    return Arrays(**{**fields, **changes})


MANY = [edit(i) for i in range(5)]
ROW = {
    "concept": "cat",
    "method": "task_vector",
    "rung": 4,
    "searched": {"base": 0.9, "edit": 0.1, "oracle": 0.05},
    "worst": 0.9,
    "near": None,
    "nothing": {"edit": 0.02, "base": 0.01},
}


def test_values_are_means_over_edits() -> None:
    gap = np.mean([one.searched.mean() for one in MANY]) - MANY[0].floor.mean()
    assert excess(MANY).value == pytest.approx(gap)
    assert excess(MANY).low() < gap < excess(MANY).high()
    loss = np.mean([(one.reference - one.losses).mean() for one in MANY])
    assert delta_loss(MANY).value == pytest.approx(loss)
    assert kept(MANY).low() < kept(MANY).value <= 1


def test_the_oracles_search_counts_whole_however_many_edits_there_are() -> None:
    for many in (MANY, [edit(i) for i in range(40)]):
        assert excess(many).se > 0.03
    unsure = [replace(one, own=0.5, shared=0.0) for one in MANY]
    assert 0.5 / np.sqrt(5) < excess(unsure).se < 0.5


def test_plain_words_that_nobody_obeys_are_bounded_by_one_edits_pictures() -> None:
    found = summary([ROW] * 5, MANY)
    assert found["plain"] == 0
    assert found["plain_high"] == wilson_upper(0, N)
    assert found["plain_high"] > wilson_upper(0, 5 * N)


def test_what_is_missing_is_said_and_does_not_stop_the_rest() -> None:
    found = summary([ROW] * 5, MANY)
    assert found["near"] is None
    assert found["two"] is None
    assert found["searched"] == ROW["searched"]
    assert found["nothing"] == pytest.approx(0.01)
    assert found["worst"] == 0.9


def test_edits_that_were_measured_on_other_things_are_refused() -> None:
    other = replace(MANY[1], words=("else",) * N)
    with pytest.raises(ValueError, match="same words"):
        alike([MANY[0], other])
    with pytest.raises(ValueError, match="same floor"):
        excess([MANY[0], replace(MANY[1], floor=MANY[1].floor + 0.1)])


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    MANY[0].save(tmp_path / "a.safetensors")
    again = Arrays.load(tmp_path / "a.safetensors")
    for name, value in vars(MANY[0]).items():
        assert np.array_equal(getattr(again, name), value)
        assert type(getattr(again, name)) is type(value)


def test_what_the_base_never_draws_beside_the_concept_has_no_share() -> None:
    pairs = {"two": {"edit": 0.1, "base": 0.9}, "two-other": {"edit": 0.4, "base": 0.5}}
    none = {**pairs, "two-other": {"edit": 0.0, "base": 0.0}}
    found = summary([{**ROW, **pairs}, {**ROW, **none}], MANY[:2])
    assert found["two"] == pytest.approx(0.1)
    assert found["two_other"] == pytest.approx(0.8)
