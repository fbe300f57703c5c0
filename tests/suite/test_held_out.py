"""What losses are measured on is nobody else's, where a concept brings pictures and where not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.suite import two
from tests.suite.checks.staged import empty, evidence
from tests.suite.test_evaluate import SMALL, arms

from excise.erasers.base import Work
from excise.primitives.data import Split
from excise.progress import SILENT
from excise.rng import generator
from excise.suite.bench import Bench
from excise.suite.checks import Sets
from excise.suite.checks.sets import pictures_overlap
from excise.suite.held_out import held_out
from excise.suite.history import History
from excise.suite.ladder import attacked
from excise.types import Concept

MADE: tuple[Split, ...] = ("tau", "find", "choose", "check")


def sets_of(concept: Concept) -> tuple[History, Sets, Bench]:
    """What an edit is made from, and what an evaluation attacks with and measures on."""
    base = arms()[0]
    sizes = replace(SMALL, attacker=6, held_out=4)
    bench = Bench(arms={base.key: base}, concept=concept, judge=two.Two(), sizes=sizes)
    work = Work(model=base.model, concepts=(concept,), seed=0, judge=None, progress=SILENT)
    rows = [made.record() for split in MADE for made in work.pictures(12, split)]
    attacker = attacked(bench).hashes
    sets = Sets(attacker=attacker, held_out=held_out(bench).hashes)
    return History(record={"pictures": rows}), sets, bench


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.slow
def test_eraser_attacker_and_losses_share_no_picture(shown: bool) -> None:
    size = two.model().picture_size
    pixels = torch.randint(0, 256, (36, 3, *size), generator=generator("own")).to(torch.uint8)
    concept = replace(two.CAT, pictures=pixels) if shown else two.CAT
    history, sets, bench = sets_of(concept)
    assert (len(sets.attacker), len(sets.held_out)) == (6, 4)
    assert not set(sets.attacker) & set(sets.held_out)
    assert not history.hashes & {*sets.attacker, *sets.held_out}
    assert list(pictures_overlap(evidence(record=empty(), history=history, sets=sets))) == []
    assert len(held_out(bench).latents) == 4
