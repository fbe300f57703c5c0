from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.suite.test_returned import result

from excise.errors import NumericalError
from excise.suite import decoys, ladder
from excise.types import Concept


def bench() -> Any:
    """Three models; what is run on them is `breaking`."""
    arms = {
        role: SimpleNamespace(key=role, role=role, label=role)
        for role in ("base", "edit", "oracle")
    }
    return SimpleNamespace(
        arms=arms,
        role=arms.get,
        full=Concept("cat"),
        sizes=SimpleNamespace(best_of=4),
        diverged={},
    )


def breaking(monkeypatch: pytest.MonkeyPatch, *rungs: int) -> None:
    """Searches on these rungs break off on the edit; others reach little on the oracle."""

    def one(bench: Any, arm: Any, attack: int, *rest: Any, **more: Any) -> Any:
        if attack in rungs and arm.role == "edit":
            raise NumericalError("on “edit”: expected a finite loss, got nan")
        return result(0.0 if arm.role == "oracle" else 0.9)

    monkeypatch.setattr(ladder, "one", one)
    monkeypatch.setattr(ladder, "attacked", lambda bench: ladder.Armed.given(bench.full, ()))
    monkeypatch.setattr(ladder, "attacks", lambda bench, share: {n: n for n in (1, 4, 8)})


def test_a_rung_on_which_a_search_broke_off_is_left_out_and_stays_a_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    breaking(monkeypatch, 8)
    own = bench()
    found = ladder.climb(own)
    assert found.rungs == (1, 4)
    assert set(found.results) == {1, 4}
    assert (found.top, found.headline) == (4, 4)
    assert own.diverged == {
        "the token ladder at 8 soft words": "on “edit”: expected a finite loss, got nan"
    }


def test_without_a_rung_that_ended_well_there_is_no_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    breaking(monkeypatch, 1, 4, 8)
    own = bench()
    found = ladder.climb(own)
    assert found.rungs == ()
    assert found.top is None
    assert found.headline == ladder.FIRST
    assert len(own.diverged) == 3


def test_a_decoy_on_which_a_search_broke_off_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def one(bench: Any, arm: Any, attack: Any, armed: ladder.Armed, **more: Any) -> Any:
        if armed.concept.name == "fox":
            raise NumericalError("expected a finite loss, got nan")
        return result(0.1)

    own = bench()
    own.plain = SimpleNamespace(picture_size=(4, 4), notes={})
    monkeypatch.setattr(decoys, "one", one)
    monkeypatch.setattr(decoys, "attacks", lambda bench, share: {4: 4})
    monkeypatch.setattr(decoys, "decoys_of", lambda bench: ("fox", "castle"))
    monkeypatch.setattr(decoys, "_sheet", lambda bench, name: name)
    pictures = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    monkeypatch.setattr(decoys, "read_sheet", lambda path, size: pictures)
    found = decoys.attack_decoys(own, 4, 2)
    assert list(found) == ["castle"]
    assert list(own.diverged) == ["the token ladder for the decoy fox"]
