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
        "blank": np.zeros(N),
        "blank_after": (own.random(N) < 0.03).astype(float),
        "near": ("class 1",),
        "two": np.zeros(N),
        "beside": before,
        "beside_after": before * (own.random(N) < 0.9),
        "pairs": tuple(f"a cat and {i // 2}" for i in range(N)),
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
    none = np.zeros(0)
    bare = {"near": (), "two": none, "beside": none, "beside_after": none, "pairs": ()}
    found = summary([ROW] * 5, [replace(one, **bare) for one in MANY])
    for name in ("near", "near_edit", "two", "two_other", "feasible", "verified"):
        assert found[name] is None, name
    assert found["searched"] == ROW["searched"]
    assert found["worst_edit"] == 0.9
    blind = [replace(one, before=np.arange(N) % 4 == 0.0) for one in MANY]  # only class 0 is drawn
    assert summary([ROW] * 5, blind)["worst_label"] == "class 0"
    assert summary([ROW] * 5, blind)["near"] is None


def test_the_worst_class_and_the_neighbours_have_bounds() -> None:
    hit = [one == "class 1" for one in MANY[0].classes]
    many = [replace(one, after=one.after * np.where(hit, np.arange(N) % 8 != 1, 1)) for one in MANY]
    found = summary([ROW] * 5, many)
    before = MANY[0].before[hit].mean()
    after = np.mean([one.after[hit].mean() for one in many])
    assert found["worst_label"] == "class 1"
    assert found["worst"][0] == pytest.approx(after / before)
    assert found["near"] == pytest.approx(found["worst"])  # it is the only one
    assert found["worst"][1] < found["worst"][0]
    assert found["worst"][1] <= min(kept(many, (f"class {i}",)).low() for i in range(4))


def test_what_is_drawn_beside_and_what_is_not_recognised_have_bounds() -> None:
    found = summary([ROW] * 5, MANY)
    assert found["two"] == [0, wilson_upper(0, N)]
    low = found["two_other"][1]
    assert low < found["two_other"][0] < 1
    blank = np.mean([one.blank_after.mean() for one in MANY])
    assert found["nothing"] == {"base": 0, "edit": pytest.approx(blank)}
    assert found["nothing_more"][1] < blank < found["nothing_more"][2]


def test_edits_that_a_search_settled_are_counted() -> None:
    rows = [{**ROW, "feasible": i > 0, "verified": i > 2} for i in range(5)]
    found = summary(rows, MANY)
    assert (found["edits"], found["feasible"], found["verified"]) == (5, 4, 2)


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
    found = summary([ROW] * 5, [replace(one, beside=np.zeros(N)) for one in MANY])
    assert found["two"] is not None
    assert found["two_other"] is None
