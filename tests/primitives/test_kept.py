from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from excise.errors import BadSetting, UserError
from excise.primitives.kept import PICTURES, kept, kept_probe
from excise.primitives.panel import Sheet
from excise.primitives.probe import Look, Probe, Shot
from excise.types import Concept, Prompt

NAMES = ("dog", "bird", "car", "neon")
MODEL: Any = SimpleNamespace(
    known=tuple(
        Concept(name, kind="style" if name == "neon" else "object", synonyms=(f"{name}gy",))
        for name in ("cat", *NAMES)
    )
)
CAT = Concept("cat", neighbours=("dog",))


def look(probe: Probe, hits: Any) -> Look:
    """A look in which each picture shows its own label, or nothing."""
    labels = (*NAMES, "nothing")
    values = torch.zeros(len(probe), len(labels))
    for i, (shot, hit) in enumerate(zip(probe.shots, hits, strict=True)):
        values[i, labels.index(shot.label) if hit else len(NAMES)] = 1.0
    sheet = Sheet(
        judge="j",
        labels=labels,
        things=NAMES[:3],
        values=values,
        thresholds=dict.fromkeys(labels, 0.5),
    )
    return Look(probe=probe, sheet=sheet, thumbs=torch.zeros(len(probe), 3, 4, 4).byte())


def fully(probe: Probe) -> Look:
    return look(probe, [True] * len(probe))


def without(probe: Probe, name: str, share: float = 1.0) -> Look:
    rows = probe.rows(name)
    gone = set(rows[: round(share * len(rows))])
    return look(probe, [i not in gone for i in range(len(probe))])


def test_a_probe_covers_what_stays_and_looks_harder_at_neighbours() -> None:
    probe = kept_probe(MODEL, (CAT,), 6)
    assert probe.groups == NAMES
    assert [len(probe.rows(name)) for name in NAMES] == [12, 6, 6, 6]
    texts = [shot.prompt.text for shot in probe.shots]
    assert any("birdgy" in text for text in texts)
    assert not any("cat" in text.split() for text in texts)
    assert len({shot.seed for shot in probe.shots}) == len(probe)


def test_a_larger_budget_only_adds() -> None:
    few, many = (kept_probe(MODEL, (CAT,), PICTURES[b]) for b in ("quick", "standard"))
    for name in NAMES:
        short = [few.shots[i] for i in few.rows(name)]
        assert short == [many.shots[i] for i in many.rows(name)][: len(short)]


def test_an_unedited_model_keeps_everything_exactly() -> None:
    probe = kept_probe(MODEL, (CAT,), 12)
    base = without(probe, "bird", 0.3)
    same = kept(base, base, ("dog",))
    assert same.mean == 1.0
    assert all(row.ratio == 1.0 for row in same.classes)
    assert same.nothing.value == 0.0
    assert 0.9 < same.lower < 1.0  # a sample cannot say more


def test_the_floor_shrinks_with_pictures() -> None:
    lower = [
        kept(fully(p), fully(p)).lower for p in (kept_probe(MODEL, (CAT,), n) for n in (4, 40))
    ]
    assert lower[0] < lower[1] < 1.0


def test_a_lost_class_is_the_worst_and_weighs_as_one_class() -> None:
    probe = kept_probe(MODEL, (CAT,), 12)
    found = kept(without(probe, "dog"), fully(probe), ("dog",))
    assert found.mean == pytest.approx(3 / 4)  # though a dog has twice the pictures
    assert found.worst is not None
    assert found.worst.name == "dog"
    assert found.nearest is not None
    assert found.nearest.ratio == 0.0
    assert found.lower < found.mean
    assert found.nothing.value == pytest.approx(len(probe.rows("dog")) / len(probe))


def test_a_class_that_the_base_cannot_draw_is_not_the_worst() -> None:
    probe = kept_probe(MODEL, (CAT,), 12)
    base = without(probe, "car", 0.8)
    found = kept(without(probe, "car"), base)
    assert found.weak == ("car",)
    assert found.worst is not None
    assert found.worst.name != "car"
    none = kept(look(probe, [False] * len(probe)), look(probe, [False] * len(probe)))
    assert none.mean == none.lower == 0.0
    assert none.worst is None


def test_looks_of_two_probes_are_not_compared() -> None:
    one, two = kept_probe(MODEL, (CAT,), 4), kept_probe(MODEL, (CAT,), 4, seed=1)
    with pytest.raises(UserError, match="one probe"):
        kept(fully(one), fully(two))


@given(st.integers(0, 10**6))
def test_bounds_hold_in_order(seed: int) -> None:
    probe = kept_probe(MODEL, (CAT,), 4)
    rng = np.random.default_rng(seed)
    base, edit = (look(probe, rng.random(len(probe)) < rng.random()) for _ in range(2))
    found = kept(edit, base)
    assert 0.0 <= found.lower <= max(found.mean, 0.0)
    assert found.to_json()["pictures"] == len(probe)


@pytest.mark.slow
def test_the_bound_holds_as_often_as_it_says() -> None:
    """Over draws of pictures, with rates that differ from prompt to prompt."""
    probe = kept_probe(MODEL, (CAT,), 40)
    prompts = [shot.prompt.key for shot in probe.shots]
    missed = 0
    for trial in range(400):
        rng = np.random.default_rng(trial)
        rate = {text: rng.beta(29, 1) for text in dict.fromkeys(prompts)}
        p = np.array([rate[text] for text in prompts])
        base = rng.random(len(probe)) < 0.95
        found = kept(look(probe, base & (rng.random(len(probe)) < p)), look(probe, base))
        missed += found.lower > 29 / 30
    assert 0 < missed <= 0.08 * 400


def test_bad_numbers_and_nothing_to_keep_are_refused() -> None:
    with pytest.raises(BadSetting, match="pictures >= 1"):
        kept_probe(MODEL, (CAT,), 0)
    alone = replace(CAT, neighbours=())
    judge: Any = SimpleNamespace(labels=("cat",), name="j")
    with pytest.raises(UserError, match="neighbours among the judge's labels"):
        kept_probe(MODEL, (alone,), 4, judge=judge)


def test_a_shot_knows_what_is_asked() -> None:
    shot = Shot(prompt=Prompt("a dog"), seed=1, label="dog", group="dog")
    with pytest.raises(UserError, match="two or more"):
        kept(fully(Probe(shots=(shot,))), fully(Probe(shots=(shot,))))
