"""A method under settings of its own is another row, and no other file of one that is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from reproduce import METHODS
from study import Trial
from tests.benchmarks.tiny_study import Tiny
from variants import DEFAULT, PAPER, VARIANTS, given, title, trial_of

from excise import registry
from excise.settings import build


def test_what_is_kept_of_a_method_keeps_its_name(tmp_path: Path) -> None:
    study = Tiny(tmp_path)
    for name in (DEFAULT, "esd"):
        assert trial_of("cat", name, 3) == Trial(concept="cat", method=name, seed=3)
        assert study.name(trial_of("cat", name)) == study.name(Trial(concept="cat", method=name))
    names = [study.name(trial_of("cat", name)) for name in (DEFAULT, PAPER)]
    assert names[0] != names[1]
    assert all(name.startswith("cat-task_vector-0-") for name in names)


def test_the_papers_recipe_is_the_paper_alone_and_not_called_the_default() -> None:
    method, settings = VARIANTS[PAPER]
    assert build(registry.get("eraser", method), settings).variant == "paper"
    assert build(registry.get("eraser", DEFAULT), {}).variant == "healed"
    assert (title(DEFAULT), title(PAPER)) == ("task vector, healed", "task vector (paper's)")
    assert METHODS[PAPER] == 1


@pytest.mark.parametrize("name", [*METHODS, "uce"])
def test_a_variant_takes_what_its_method_takes(name: str) -> None:
    method, _ = VARIANTS.get(name, (name, {}))
    assert given(name) == registry.get("eraser", method).given
