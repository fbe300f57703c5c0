from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks.tiny_study import Tiny, model

import attacks
from attacks import FACTORS, SPENT, SWEPT, Range, table
from excise import registry
from excise.edit import Edit, Recipe
from excise.settings import describe


@pytest.fixture(scope="module")
def tiny() -> Any:
    return model()


@pytest.fixture
def found(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Range:
    study = Tiny(tmp_path, of=tiny)
    edit = Edit.of(tiny, {"unet.conv_out.bias": torch.ones(4) / 9}, recipe=Recipe(method="m"))
    monkeypatch.setattr(study, "edit", lambda trial: (edit, {}))
    monkeypatch.setattr(attacks, "LOOK", attacks.replace(attacks.LOOK, asked=4, attacker=4))
    return Range(study)


def test_what_is_swept_and_spent_are_settings_of_the_attacks() -> None:
    for name, field in {**{n: f for n, (f, _) in SWEPT.items()}, **SPENT}.items():
        assert field in {one.name for one in describe(registry.get("attack", name))}
    assert 1.0 in FACTORS


def test_a_run_is_kept_and_read_again(found: Range, tiny: Any) -> None:
    first = found.row("reseed", {"restarts": 2})
    spent = tiny.costs
    again = Range(found.study).row("reseed", {"restarts": 2})
    assert (tiny.costs - spent).evaluations == 0
    assert again == first
    assert first["pictures"] == 4 * (2 * 2 + 4)
    other = found.row("reseed", {"restarts": 1})
    assert other["pictures"] == 4 * (2 + 4)
    text = table([first, {**other, "factor": 0.5}], "setting")
    assert "restarts = 2" in text
    assert "(0.5 times)" in text


def test_who_compares_has_the_base_beside_the_edit(found: Range) -> None:
    assert set(found.bench("p4d").arms) == {"base", "edit"}
    assert set(found.bench("unlearn_diff").arms) == {"edit"}
