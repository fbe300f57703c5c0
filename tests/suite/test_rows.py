"""What an attack chose is read by all judges, and every class's score of it is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.suite import two
from tests.suite.test_evaluate import SMALL, arms

from excise.attacks.base import run_attack
from excise.attacks.reseed import Reseed
from excise.reporting.tables import Scores
from excise.suite.bench import Bench
from excise.suite.book import Book
from excise.suite.jury import Jury
from excise.suite.returned import enter
from excise.suite.rows import keep_shown, shown

TEXTS = ("a cat", "a photo of a cat", "a picture")


@pytest.mark.parametrize("several", [True, False])
def test_every_class_is_kept_of_what_an_attack_chose(several: bool, tmp_path: Path) -> None:
    judge = Jury(panels=(two.Two(), two.AUDITOR)) if several else two.Two()
    own = Bench(
        arms={arm.key: arm for arm in arms()[:2]}, concept=two.CAT, judge=judge, sizes=SMALL
    )
    book, results, seen = Book(), {}, {}
    for key, arm in own.arms.items():
        with arm.live() as model:
            results[key] = run_attack(
                Reseed(restarts=2), model, two.CAT, TEXTS, judge, select_seeds=(1,),
                score_seeds=(2, 3),
            )  # fmt: skip
        enter(book, "reseed/all", key, results[key])
        seen[key] = shown(own, arm, results[key])
    keep_shown(own, book, "reseed", results, seen)
    table = book.table
    assert table is not None
    table.save(tmp_path / "scores.safetensors")
    sheets = Scores.load(tmp_path / "scores.safetensors").sheets
    assert [(one.section, one.arm) for one in sheets] == [
        ("attack/reseed", "base"), ("attack/reseed", "edit"),
    ]  # fmt: skip
    for one in sheets:
        assert one.prompts == TEXTS
        assert one.sheet.labels == tuple(judge.labels)
        requests = [replace(r, seeds=(s,)) for r, s in
                    zip(results[one.arm].chosen_requests, one.seeds, strict=True)]  # fmt: skip
        with own.arms[one.arm].live() as model:
            drawn = torch.cat([model.generate(request).uint8() for request in requests])
        assert torch.allclose(one.sheet.values, judge.scores(drawn), atol=2e-3)
        # Of the concept it is the score that the rate is made from.
        first = results[one.arm].chosen_values[:, 0]
        assert torch.allclose(one.sheet.score("cat").values, first, atol=2e-3)
